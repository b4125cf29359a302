// Draws each [data-plot] from the values in it with uPlot, in the stylesheet's colours; the table beneath it is the legend. Renewed every half minute.
"use strict";

(() => {
  const RENEW_MS = 30000;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const drawn = new Map();
  const hour = (at) => new Date(at * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

  // Stacked lines are sums from below.
  const stack = (series) => {
    const sums = [];
    let below = series[0].values.map(() => 0);
    for (const one of [...series].reverse()) {
      below = one.values.map((value, i) => value + below[i]);
      sums.unshift(below);
    }
    return sums;
  };

  const describe = (style, one) => ({
    label: one.label,
    stroke: colour(one.colour),
    width: style === "stacked" ? 0 : 2,
    fill: style === "stacked" ? colour(one.colour) : undefined,
    paths: style === "points" ? () => null : style === "lines" ? undefined : uPlot.paths.stepped({ align: 1 }),
    points: { show: style === "points" || (style === "steps" && one.values.includes(null)), size: 7, fill: colour(one.colour) },
    spanGaps: false,
  });

  // Under the pointer the table shows that moment instead of the newest.
  const tell = (place, plot, index) => {
    const table = place.closest(".plot");
    table.querySelector("[data-moment]").textContent = index === null ? "newest" : hour(plot.at[index]);
    table.querySelectorAll("[data-value]").forEach((cell, i) => {
      cell.textContent = index === null ? cell.dataset.value : (plot.series[i].values[index] ?? "–");
    });
  };

  const draw = (place) => {
    const plot = JSON.parse(place.dataset.plot);
    drawn.get(place)?.destroy();
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 } };
    const values = plot.style === "stacked" ? stack(plot.series) : plot.series.map((one) => one.values);
    const options = {
      width: place.clientWidth,
      height: place.clientHeight,
      cursor: { y: false },
      legend: { show: false },
      hooks: { setCursor: [(self) => tell(place, plot, self.cursor.idx ?? null)] },
      scales: { x: { range: [plot.since, plot.until] }, y: { range: (self, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
      axes: [{ ...axis, values: (self, splits) => splits.map(hour) }, { ...axis, size: 54, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] }],
      series: [{}, ...plot.series.map((one) => describe(plot.style, one))],
    };
    drawn.set(place, new uPlot(options, [plot.at, ...values], place));
  };

  const all = (root) => root.querySelectorAll("[data-plot]").forEach(draw);
  const forget = () => [...drawn.keys()].filter((place) => !place.isConnected).forEach((place) => drawn.delete(place));
  const renew = () => document.querySelectorAll(".plot").forEach((figure) => htmx.trigger(figure, "renew"));

  document.addEventListener("htmx:load", (event) => event.detail.elt !== document.body && (forget(), all(event.detail.elt)));
  document.addEventListener("DOMContentLoaded", () => {
    all(document);
    setInterval(() => document.hidden || renew(), RENEW_MS);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all(document));
    let width = innerWidth;
    addEventListener("resize", () => innerWidth !== width && ((width = innerWidth), all(document)));
  });
})();
