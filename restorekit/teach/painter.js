// Strokes are drawn here and sent once, when the pointer is released; arrow keys and Space paint without a mouse.
function render({ model, el }) {
  const [w, h] = [model.get("width"), model.get("height")];
  const zoom = Math.max(1, Math.floor(400 / Math.max(w, h)));
  const canvas = document.createElement("canvas");
  canvas.width = w * zoom;
  canvas.height = h * zoom;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", "Noise map painter. Arrow keys move the brush, Space paints, Shift moves faster.");
  canvas.style.cssText = "touch-action:none;cursor:crosshair;image-rendering:pixelated;max-width:100%";
  el.appendChild(canvas);
  const pen = canvas.getContext("2d");
  const picture = new Image();
  let stroke = null;
  let brush = [w / 2, h / 2];

  const draw = ({ points, radius, value }) => {
    const strength = Math.min(1, value / model.get("top"));
    pen.strokeStyle = `rgba(${Math.round(60 + 195 * strength)}, 110, 0, 0.75)`;
    pen.lineWidth = 2 * radius * zoom;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(points[0][0] * zoom, points[0][1] * zoom);
    // a canvas drops lines of length zero, and a dab is one
    points.forEach(([x, y]) => pen.lineTo(x * zoom + 0.01, y * zoom));
    pen.stroke();
  };
  const redraw = () => {
    pen.imageSmoothingEnabled = false;
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    model.get("strokes").forEach(draw);
    if (stroke) draw(stroke);
    if (document.activeElement !== canvas) return;
    pen.strokeStyle = "#56B4E9";
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(brush[0] * zoom, brush[1] * zoom, model.get("radius") * zoom, 0, 7);
    pen.stroke();
  };
  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * w, ((event.clientY - box.top) / box.height) * h];
  };
  const start = (point) => ({ points: [point], radius: model.get("radius"), value: model.get("level") });
  const send = () => {
    if (!stroke) return;
    model.set("strokes", [...model.get("strokes"), stroke]);
    stroke = null;
    model.save_changes();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke = start((brush = where(event)));
    redraw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    stroke.points.push((brush = where(event)));
    redraw();
  });
  ["pointerup", "pointercancel"].forEach((name) => canvas.addEventListener(name, send));
  ["focus", "blur"].forEach((name) => canvas.addEventListener(name, redraw));
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    const pace = event.shiftKey ? 8 : 2;
    if (move) brush = [0, 1].map((i) => Math.min(Math.max(brush[i] + pace * move[i], 0), [w, h][i]));
    else {
      stroke = start([...brush]);
      send();
    }
    redraw();
  });
  ["strokes", "radius"].forEach((name) => model.on(`change:${name}`, redraw));
  picture.onload = redraw;
  picture.src = model.get("picture");
}
export default { render };
