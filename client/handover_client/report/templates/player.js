"use strict";
// One clock for the videos and curves of an episode: play, drag in a curve or the slider.
for (const episode of document.querySelectorAll(".episode")) {
  const videos = [...episode.querySelectorAll("video")];
  const charts = [...episode.querySelectorAll(".chart")];
  const [button, slider, output] = episode.querySelector(".player").children;
  const seconds = Number(episode.dataset.seconds);
  const lines = charts.map(chart => [...chart.querySelectorAll("polyline")].map(points));
  let time = 0, before = null;

  function points(line) {
    const role = [...line.classList].find(name => name.startsWith("v-"));
    const places = line.getAttribute("points").split(" ").map(pair => pair.split(",").map(Number));
    return { color: role === "v-demonstrated" ? "var(--muted)" : `var(--${role.slice(2)})`, places };
  }
  function show() {
    const share = Math.min(1, time / seconds);
    slider.value = time;
    output.textContent = `${time.toFixed(2)} s`;
    charts.forEach((chart, index) => {
      const cursor = chart.querySelector(".cursor"), reading = chart.querySelector(".reading");
      const last = Number(chart.dataset.end);
      const x = `${100 * Math.min(1, time / last)}%`;
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      reading.replaceChildren(...lines[index].map(line => value(chart, line, 1000 * time / last)));
    });
  }
  function value(chart, line, x) {
    let low = 0, high = line.places.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (line.places[middle][0] < x) low = middle + 1; else high = middle;
    }
    if (low > 0 && x - line.places[low - 1][0] < line.places[low][0] - x) low -= 1;
    const bottom = Number(chart.dataset.low), top = Number(chart.dataset.high);
    const span = document.createElementNS("http://www.w3.org/2000/svg", "tspan");
    span.textContent = ` ${(top - line.places[low][1] / 1000 * (top - bottom)).toFixed(2)}`;
    span.style.fill = line.color;
    return span;
  }
  function place(video) {
    video.currentTime = Math.min(time, video.duration || time);
  }
  function seek(to) {
    time = Math.max(0, Math.min(seconds, to));
    videos.forEach(place);
    show();
  }
  function tick(now) {
    if (before === null) return;
    time = Math.min(seconds, time + (now - before) / 1000);
    before = now;
    // a video that has fallen behind, or run ahead, is put right
    for (const video of videos)
      if (!video.ended && Math.abs(video.currentTime - time) > 0.15) place(video);
    show();
    if (time >= seconds) pause(); else requestAnimationFrame(tick);
  }
  function play() {
    if (time >= seconds) seek(0);
    for (const video of videos) video.play().catch(() => {});
    button.textContent = "❚❚";
    before = performance.now();
    requestAnimationFrame(tick);
  }
  function pause() {
    if (before === null) return;
    for (const video of videos) video.pause();
    button.textContent = "▶";
    before = null;
    seek(time); // all of them at the same moment
  }
  function drag(event) {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = event.currentTarget.querySelector(".curves").getBoundingClientRect();
    seek((event.clientX - box.left) / box.width * Number(event.currentTarget.dataset.end));
  }
  for (const chart of charts)
    for (const kind of ["pointerdown", "pointermove"]) chart.addEventListener(kind, drag);
  for (const video of videos) video.controls = false;
  button.addEventListener("click", () => before === null ? play() : pause());
  slider.addEventListener("input", () => { pause(); seek(Number(slider.value)); });
  episode.querySelector(".player").hidden = false;
  episode.addEventListener("leave", pause);
  show();
}
// of several episodes, the one that is chosen is shown
const choices = [...document.querySelectorAll(".choice")];
function choose() {
  const chosen = choices.find(each => `#${each.id}` === location.hash) || choices[0];
  for (const each of choices) {
    each.hidden = each !== chosen;
    if (each.hidden) each.querySelector(".episode").dispatchEvent(new Event("leave"));
  }
  for (const link of document.querySelectorAll(".chips a"))
    link.classList.toggle("chosen", link.hash === `#${chosen.id}`);
}
if (choices.length > 1) {
  addEventListener("hashchange", choose);
  choose();
}
