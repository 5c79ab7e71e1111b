"use strict";
for (const scene of document.querySelectorAll(".scene")) {
  let zoom = 1, x = 0, y = 0; // x and y in percent of the picture's size
  const pointers = new Map();
  let pinch = 0;
  const show = () => {
    zoom = Math.min(16, Math.max(1, zoom));
    x = Math.min(0, Math.max(100 * (1 - zoom), x));
    y = Math.min(0, Math.max(100 * (1 - zoom), y));
    scene.style.setProperty("--z", zoom);
    scene.style.setProperty("--x", x);
    scene.style.setProperty("--y", y);
    scene.classList.toggle("zoomed", zoom > 1);
    if (zoom > 1) for (const image of scene.querySelectorAll("img[data-full]")) {
      // The page holds small pictures; the full ones lie beside it and may be absent.
      const small = image.src;
      image.onerror = () => { image.onerror = null; image.src = small; };
      image.src = image.dataset.full;
      image.removeAttribute("data-full");
    }
  };
  const zoomAt = (factor, frame, clientX, clientY) => {
    const box = frame.getBoundingClientRect();
    const atX = 100 * (clientX - box.left) / box.width, atY = 100 * (clientY - box.top) / box.height;
    const next = Math.min(16, Math.max(1, zoom * factor));
    x = atX - (atX - x) * next / zoom;
    y = atY - (atY - y) * next / zoom;
    zoom = next;
    show();
  };
  const middle = factor => {
    const frame = scene.querySelector(".frame"), box = frame.getBoundingClientRect();
    zoomAt(factor, frame, box.left + box.width / 2, box.top + box.height / 2);
  };
  scene.querySelector(".in").onclick = () => middle(2);
  scene.querySelector(".out").onclick = () => middle(0.5);
  scene.querySelector(".fit").onclick = () => { zoom = 1; show(); };
  for (const frame of scene.querySelectorAll(".frame")) {
    frame.addEventListener("wheel", event => {
      if (!(event.ctrlKey || zoom > 1 || event.shiftKey)) return; // plain wheel scrolls the page
      event.preventDefault();
      zoomAt(Math.exp(-event.deltaY / 300), frame, event.clientX, event.clientY);
    }, {passive: false});
    frame.addEventListener("dblclick", event =>
      zoomAt(zoom > 1 ? 1 / 16 : 4, frame, event.clientX, event.clientY));
    frame.addEventListener("pointerdown", event => {
      pointers.set(event.pointerId, event);
      pinch = 0;
      if (zoom > 1) frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", event => {
      const last = pointers.get(event.pointerId);
      if (!last) return;
      pointers.set(event.pointerId, event);
      const box = frame.getBoundingClientRect();
      if (pointers.size === 2) {
        const [a, b] = [...pointers.values()];
        const far = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        if (pinch) zoomAt(far / pinch, frame, (a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2);
        pinch = far;
      } else if (zoom > 1) {
        x += 100 * (event.clientX - last.clientX) / box.width;
        y += 100 * (event.clientY - last.clientY) / box.height;
        show();
      }
    });
    for (const end of ["pointerup", "pointercancel", "pointerleave"])
      frame.addEventListener(end, event => { pointers.delete(event.pointerId); pinch = 0; });
  }
  const slider = scene.querySelector(".slider");
  if (!slider) continue;
  const [left, right] = slider.querySelectorAll("select");
  const [under, over] = slider.querySelectorAll(".compare img");
  const shots = scene.querySelectorAll(".shots figure > .frame > img:first-child");
  const fill = () => {
    for (const [select, image] of [[left, under], [right, over]]) {
      const shot = shots[select.value];
      image.src = shot.src;
      image.alt = shot.alt;
    }
  };
  left.onchange = right.onchange = fill;
  slider.addEventListener("toggle", fill);
  const range = slider.querySelector("input");
  range.oninput = () => slider.querySelector(".compare").style.setProperty("--cut", range.value + "%");
}
for (const box of document.querySelectorAll(".bar input"))
  box.onchange = () => document.body.classList.toggle("masks", box.checked);
// On paper everything is open, but for the slider; what was closed is closed again afterwards.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open]):not(.slider)")];
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
