"use strict";
(() => {
  const viewer = document.getElementById("viewer");
  const frame = viewer.querySelector(".frame");
  const stage = document.getElementById("stage");
  const swipe = document.getElementById("swipe");
  const rect = document.getElementById("swipe-rect");
  const scale = document.getElementById("scale");
  const whole = { width: Number(viewer.dataset.width), height: Number(viewer.dataset.height) };
  const pixelM = Number(viewer.dataset.pixelM);
  const hatches = [...stage.querySelectorAll(".hatch")];
  const GREATEST_ZOOM = Math.max(4, whole.width / 24);
  let view = { x: 0, y: 0, zoom: 1 };
  let share = 0.5;

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  function draw() {
    const width = whole.width / view.zoom, height = whole.height / view.zoom;
    stage.setAttribute("viewBox", `${view.x} ${view.y} ${width} ${height}`);
    if (swipe) {
      rect.setAttribute("width", Math.max(0, view.x + share * width));
      swipe.style.left = `${share * 100}%`;
      const percent = Math.round(share * 100);
      swipe.setAttribute("aria-valuenow", percent);
      swipe.setAttribute("aria-valuetext", `${percent} % before`);
    }
    const metres = (width * pixelM) / frame.clientWidth;
    frame.classList.toggle("smooth", frame.clientWidth < width);
    frame.classList.toggle("zoomed", view.zoom > 1.001);
    const hatch = (width / frame.clientWidth) * 9;
    hatches.forEach((one, index) => one.setAttribute("patternTransform", `scale(${hatch}) rotate(${index === 1 ? -45 : 45})`));
    drawScale(metres);
  }

  function drawScale(metres) {
    const wanted = metres * Math.min(140, frame.clientWidth * 0.3);
    const power = 10 ** Math.floor(Math.log10(wanted));
    const length = [5, 2, 1].map((step) => step * power).find((one) => one <= wanted);
    scale.style.width = `${length / metres}px`;
    scale.firstElementChild.textContent = length >= 1000 ? `${length / 1000} km` : `${length} m`;
  }

  function look(x, y, zoom) {
    zoom = clamp(zoom, 1, GREATEST_ZOOM);
    view = {
      x: clamp(x, 0, whole.width - whole.width / zoom),
      y: clamp(y, 0, whole.height - whole.height / zoom),
      zoom,
    };
    draw();
  }

  function zoomBy(factor, across = 0.5, down = 0.5) {
    const zoom = clamp(view.zoom * factor, 1, GREATEST_ZOOM);
    const x = view.x + (across * whole.width) / view.zoom - (across * whole.width) / zoom;
    const y = view.y + (down * whole.height) / view.zoom - (down * whole.height) / zoom;
    look(x, y, zoom);
  }

  function slide(to) {
    share = clamp(to, 0, 1);
    draw();
  }

  function place(event) {
    const box = frame.getBoundingClientRect();
    return { across: (event.clientX - box.left) / box.width, down: (event.clientY - box.top) / box.height };
  }

  function showPlace() {
    stage.querySelectorAll(".chosen").forEach((one) => one.classList.remove("chosen"));
    const link = [...document.querySelectorAll(".places a")].find((one) => one.hash === location.hash);
    if (!link || !location.hash) return;
    const [x, y, width, height] = link.dataset.box.split(" ").map(Number);
    const zoom = clamp(Math.min(whole.width / (width * 1.5 + 20), whole.height / (height * 1.5 + 20)), 1, GREATEST_ZOOM);
    look(x + width / 2 - whole.width / zoom / 2, y + height / 2 - whole.height / zoom / 2, zoom);
    stage.querySelector(link.hash).classList.add("chosen");
    viewer.scrollIntoView({ block: "start" });
  }

  if (swipe) {
    const steps = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
    swipe.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      slide(share + steps[event.key]);
    });
  }

  let held = null;
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest(".zoom")) return;
    const onSwipe = swipe && swipe.contains(event.target);
    const pans = view.zoom > 1.001 && !onSwipe;
    if (!pans && !swipe) return;
    held = { pans, from: place(event), view };
    frame.setPointerCapture(event.pointerId);
    if (!pans) slide(held.from.across);
    if (onSwipe) swipe.focus({ preventScroll: true });
    event.preventDefault();
  });
  frame.addEventListener("pointermove", (event) => {
    if (!held) return;
    const to = place(event);
    if (!held.pans) return slide(to.across);
    const x = held.view.x - ((to.across - held.from.across) * whole.width) / view.zoom;
    const y = held.view.y - ((to.down - held.from.down) * whole.height) / view.zoom;
    look(x, y, view.zoom);
  });
  for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => { held = null; });
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { across, down } = place(event);
    zoomBy(event.deltaY < 0 ? 1.25 : 0.8, across, down);
  }, { passive: false });
  frame.addEventListener("dblclick", (event) => {
    if (event.target.closest(".zoom, .swipe")) return;
    const { across, down } = place(event);
    zoomBy(2, across, down);
  });
  frame.addEventListener("keydown", (event) => {
    if (event.target !== frame) return;
    const step = 0.1 / view.zoom;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "+" || event.key === "=") zoomBy(1.5);
    else if (event.key === "-") zoomBy(1 / 1.5);
    else if (event.key === "0") look(0, 0, 1);
    else if (event.key in moves && view.zoom > 1.001) {
      const [across, down] = moves[event.key];
      look(view.x + across * step * whole.width, view.y + down * step * whole.height, view.zoom);
    } else return;
    event.preventDefault();
  });
  document.getElementById("zoom-in").addEventListener("click", () => zoomBy(1.5));
  document.getElementById("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  document.getElementById("zoom-reset").addEventListener("click", () => look(0, 0, 1));
  document.getElementById("opacity").addEventListener("input", (event) => {
    document.getElementById("layer-probability").style.opacity = event.target.value / 100;
  });
  document.querySelectorAll(".places a").forEach((link) => link.addEventListener("click", () => {
    if (link.hash === location.hash) showPlace();
  }));
  window.addEventListener("hashchange", showPlace);
  window.addEventListener("load", () => requestAnimationFrame(showPlace));
  new ResizeObserver(draw).observe(frame);
  draw();
})();
