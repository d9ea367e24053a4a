/* Draws percentiles over time from the table beside each chart; without this file the table is there to read. */
(() => {
  "use strict";
  const LINES = [["p50", "--good"], ["p90", "--warn"], ["p99", "--bad"]], HEIGHT = 240;
  const SIZES = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

  const span = (seconds) => {
    if (seconds === null || seconds === undefined) return "–";
    const [unit, size] = SIZES.find(([, one]) => seconds >= one) ?? SIZES[3];
    return `${Math.round(seconds / size * 10) / 10}${unit}`;
  };

  const moment = (seconds) => new Date(seconds * 1000).toISOString();
  const tick = (seconds) => moment(seconds).slice(11, 16) === "00:00" ? moment(seconds).slice(5, 10) : moment(seconds).slice(11, 16);

  const draw = (place) => {
    const rows = [...place.parentElement.querySelectorAll("tr[data-at]")];
    if (rows.length < 2) return;
    const period = Number(place.dataset.period), at = [], values = LINES.map(() => []);
    for (const row of rows) {
      const when = Number(row.dataset.at);
      for (let missing = at.length ? at[at.length - 1] + period : when; missing < when; missing += period) {
        at.push(missing);
        values.forEach((line) => line.push(null));
      }
      at.push(when);
      row.querySelectorAll("td[data-value]").forEach((cell, index) => values[index].push(Number(cell.dataset.value)));
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
    const plot = new uPlot({
      width: place.clientWidth, height: HEIGHT, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map(tick) }, { ...axis, size: 56, values: (_, ticks) => ticks.map(span) }],
      series: [{ label: "opened, UTC", value: (_, at) => at === null ? "–" : moment(at).slice(0, 16).replace("T", " ") }, ...LINES.map(([label, name]) => (
        { label, stroke: color(name), width: 2, points: { size: 4 }, value: (_, seconds) => span(seconds) }))],
    }, [at, ...values], place);
    place.plot = plot;
  };

  const places = () => document.querySelectorAll("[data-chart]");
  places().forEach(draw);
  addEventListener("resize", () => places().forEach((one) => one.plot?.setSize({ width: one.clientWidth, height: HEIGHT })));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => places().forEach(draw));
  new MutationObserver(() => places().forEach(draw)).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
