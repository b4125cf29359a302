// Draws each [data-plot] from the JSON at its address with uPlot, in the stylesheet's colours, and again every half minute.
"use strict";

(() => {
  const RENEW_MS = 30000;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const drawn = new Map();
  const hour = (at) => new Date(at * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

  // Stacked lines are sums from below; the legend shows each one's own part.
  const stack = (series) => {
    const sums = [];
    let below = series[0]?.values.map(() => 0) ?? [];
    for (const one of [...series].reverse()) {
      below = one.values.map((value, i) => value + below[i]);
      sums.unshift(below);
    }
    return sums;
  };

  const describe = (plot, one) => ({
    label: one.label,
    stroke: colour(one.colour),
    width: plot.stacked ? 0 : 2,
    fill: plot.stacked ? colour(one.colour) : undefined,
    paths: plot.points ? () => null : plot.stacked || plot.steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
    points: { show: plot.points === true || (plot.steps && one.values.includes(null)), size: 7, fill: colour(one.colour) },
    value: (self, shown, index, at) => (at === null ? "–" : plot.series[index - 1].values[at]),
    spanGaps: false,
  });

  const draw = (place, plot) => {
    drawn.get(place)?.destroy();
    place.replaceChildren();
    if (!plot.at.length) {
      place.append(Object.assign(document.createElement("p"), { className: "quiet", textContent: "Nothing in these hours." }));
      return;
    }
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 } };
    const values = plot.stacked ? stack(plot.series) : plot.series.map((one) => one.values);
    const options = {
      width: place.clientWidth,
      height: 190,
      cursor: { y: false },
      scales: { x: { range: [plot.since, plot.until] }, y: { range: (self, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
      axes: [{ ...axis, values: (self, splits) => splits.map(hour) }, { ...axis, size: 54, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] }],
      series: [{ value: (self, at) => (at ? hour(at) : "–") }, ...plot.series.map((one) => describe(plot, one))],
    };
    drawn.set(place, new uPlot(options, [plot.at, ...values], place));
  };

  const load = async (place) => {
    const answer = await fetch(place.dataset.plot, { headers: { Accept: "application/json" } });
    if (answer.ok) draw(place, await answer.json());
  };

  const all = () => document.querySelectorAll("[data-plot]").forEach(load);
  document.addEventListener("DOMContentLoaded", () => {
    all();
    setInterval(() => document.hidden || all(), RENEW_MS);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
    let width = innerWidth;
    addEventListener("resize", () => innerWidth !== width && ((width = innerWidth), all()));
  });
})();
