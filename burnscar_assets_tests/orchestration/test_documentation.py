from burnscar_assets.orchestration.documentation import PAGE, contracts_page


def test_the_page_of_data_contracts_follows_the_contracts() -> None:
    assert PAGE.read_text(encoding="utf-8") == contracts_page(), "run make docs"
