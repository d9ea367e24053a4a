/* Draws values over time from the table beside each chart; without this file the table is there to read. */
(() => {
  "use strict";
  const HEIGHT = 280;
  const moment = (seconds) => new Date(seconds * 1000).toISOString();
  const number = (text) => { const found = Number(text); return Number.isFinite(found) ? found : null; };

  const draw = (place) => {
    const table = place.parentElement.querySelector("table");
    const names = [...table.querySelectorAll("th[data-series]")].map((cell) => cell.textContent);
    const at = [], values = names.map(() => []);
    for (const row of table.querySelectorAll("tr[data-at]")) {
      at.push(Number(row.dataset.at));
      [...row.querySelectorAll("td.number")].forEach((cell, index) => (
        values[index].push(cell.dataset.value === undefined ? null : number(cell.dataset.value))));
    }
    const style = getComputedStyle(document.documentElement), color = (name) => {
      const probe = document.createElement("i");
      probe.style.color = `var(${name})`;
      place.append(probe);
      const found = getComputedStyle(probe).color;
      probe.remove();
      return found;
    };
    place.hidden = false;
    const ink = color("--muted"), grid = { stroke: color("--line"), width: 1 };
    const axis = { stroke: ink, grid, ticks: grid, font: `12px ${style.fontFamily}` };
    place.replaceChildren();
    place.plot = new uPlot({
      width: place.clientWidth, height: HEIGHT, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      axes: [axis, { ...axis, size: 72 }],
      series: [{ label: "UTC", value: (_, when) => when === null ? "–" : moment(when).slice(0, 19).replace("T", " ") }, ...names.map((label, index) => (
        { label, stroke: `hsl(${(205 + index * 67) % 360} 65% 50%)`, width: 2, points: { size: 4 } }))],
    }, [at, ...values], place);
  };

  const places = () => document.querySelectorAll("[data-query-chart]"), all = () => places().forEach(draw);
  all();
  addEventListener("resize", () => places().forEach((one) => one.plot?.setSize({ width: one.clientWidth, height: HEIGHT })));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  new MutationObserver(all).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
