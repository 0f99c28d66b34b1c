"""Lightning's strategy for several devices, for models of which parts are frozen for a while."""

from lightning.pytorch.strategies import DDPStrategy  # noqa: TID253 - a plug-in that only a training process loads


class WholeModelDDP(DDPStrategy):
    """Gradients of the whole model are shared, also of what is frozen when training begins.

    torch's DDP knows for good which parameters needed a gradient when it wrapped the model. What a callback unfreezes
    later would get other gradients, and so other weights, in each process.
    """

    def configure_ddp(self) -> None:
        """Wrap the model while nothing of it is frozen."""
        assert self.model is not None  # noqa: S101 - Lightning has set it
        frozen = [parameter for parameter in self.model.parameters() if not parameter.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(True)
        super().configure_ddp()
        for parameter in frozen:
            parameter.requires_grad_(False)
