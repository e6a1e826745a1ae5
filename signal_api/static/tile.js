// One person on the stage: the picture, and the way that the call to it goes.

import { details, milliseconds, pairOf, verdict } from "./paths.js";

export function tileOf(id, name) {
  const figure = document.getElementById("person").content.firstElementChild.cloneNode(true);
  figure.dataset.member = id;
  figure.querySelector(".who").textContent = name;
  const video = figure.querySelector("video"), hear = figure.querySelector(".hear");
  hear.onclick = () => { video.muted = false; hear.hidden = true; video.play(); };
  return figure;
}

// Where sound needs a touch first, the picture plays without it.
export function showTrack(peer) {
  const video = peer.tile.querySelector("video");
  video.play().catch((error) => {
    if (error.name !== "NotAllowedError") return; // A new track interrupted it; the next one plays.
    video.muted = true;
    peer.tile.querySelector(".hear").hidden = false;
    video.play().catch(() => {});
  });
}

export function showPath({ tile: figure, pc, path, problem }) {
  const box = figure.querySelector(".path"), words = box.querySelector(".verdict"), rows = box.querySelector("dl");
  const isUp = pc.connectionState === "connected" && path;
  figure.dataset.state = pc.connectionState;
  box.dataset.way = isUp ? (path.relayed ? "relayed" : "direct") : pc.connectionState === "failed" ? "failed" : "seeking";
  words.textContent = isUp ? verdict(path) : {
    failed: "No way was found; trying again",
    disconnected: "The way is interrupted",
  }[pc.connectionState] ?? "Looking for a way";
  box.querySelector(".pair").textContent = isUp ? pairOf(path) : "";
  box.querySelector(".measure").textContent = isUp ? milliseconds(path.rtt) : "";
  const list = isUp ? details(path) : problem && pc.connectionState !== "connected" ? [["Last trouble", `${problem.errorCode} ${problem.errorText || ""} ${problem.url || ""}`]] : [];
  const cells = list.flatMap(([term, text]) => [
    Object.assign(document.createElement("dt"), { textContent: term }),
    Object.assign(document.createElement("dd"), { textContent: text }),
  ]);
  rows.replaceChildren(...cells);
}
