// Round trips as a small plot: one dot for each that came back, a gap where one was lost.

const WIDTH = 220, HEIGHT = 44, EDGE = 4;
const SVG = "http://www.w3.org/2000/svg";

// { path, ticks, top }: an SVG path through the answers, x of the losses, and the time at the upper edge. Times in ms.
export function outline(trips) {
  const answered = trips.filter((trip) => trip !== null);
  const top = niceTop(Math.max(1, ...answered));
  const x = (index) => EDGE + (index * (WIDTH - 2 * EDGE)) / Math.max(1, trips.length - 1);
  const y = (trip) => HEIGHT - EDGE - (trip * (HEIGHT - 2 * EDGE)) / top;
  let path = "", isDown = false;
  trips.forEach((trip, index) => {
    if (trip !== null) path += `${isDown ? "L" : "M"}${x(index).toFixed(1)} ${y(trip).toFixed(1)} `;
    isDown = trip !== null;
  });
  return { path: path.trim(), ticks: trips.flatMap((trip, index) => (trip === null ? [x(index)] : [])), top };
}

// The next of 1, 2, 5, 10, 20, 50 ...
export function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

const element = (name, attributes) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

export function plot(trips, label) {
  const { path, ticks, top } = outline(trips);
  const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "plot", role: "img", "aria-label": label });
  svg.append(element("path", { class: "axis", d: `M${EDGE} ${EDGE}H${WIDTH - EDGE}M${EDGE} ${HEIGHT - EDGE}H${WIDTH - EDGE}` }));
  for (const tick of ticks) svg.append(element("path", { class: "lost", d: `M${tick.toFixed(1)} ${EDGE}V${HEIGHT - EDGE}` }));
  svg.append(element("path", { class: "trips", d: path }));
  const text = element("text", { x: WIDTH - EDGE, y: EDGE + 9, class: "top" });
  text.textContent = `${top} ms`;
  svg.append(text);
  return svg;
}
