/* What makes the page live: everything else works without this file.

   The server says "changed" and nothing more; the page then asks again for itself, and what differs is changed in place.
   A hidden page listens to nothing, since browsers share six connections among all tabs of one server. */
(() => {
  "use strict";
  const POLL_EVERY = 15000, AGES_EVERY = 5000, EVENTS = "/ui/events", THEMES = ["auto", "light", "dark"];
  const root = document.documentElement;
  let source = null, asked = 0, offline = null, waiting = false;

  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const show = (theme) => { if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme; };
  let theme = THEMES.includes(stored()) ? stored() : "auto";
  show(theme);
  root.classList.add("js");

  const live = () => document.querySelector("[data-live]");

  /* A form that somebody fills in is left alone, and so is a detail that was opened or closed. */
  const guardInput = () => {
    Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) =>
      !(old.nodeType === 1 && (old.dataset.dirty !== undefined || old.dataset.keep !== undefined));
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");
  };

  const refresh = () => {
    if (document.hidden || !live() || waiting) return;
    waiting = true;
    asked = Date.now();
    htmx.trigger(document.body, "changed");
  };

  const listen = () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
    } else if (!source && live()) {
      source = new EventSource(EVENTS);
      source.addEventListener("changed", refresh);
      source.onopen = () => { if (offline) refresh(); };
    }
  };

  const say = (text) => {
    const shown = document.getElementById("live");
    if (!shown || (shown.textContent === text && !shown.hidden)) return;
    shown.hidden = false;
    shown.textContent = text;
    shown.classList.toggle("offline", text !== "live");
  };

  const answered = (good) => {
    waiting = false;
    if (good) offline = null;
    else offline ??= new Date();
    say(good ? "live" : `not live since ${offline.toTimeString().slice(0, 5)}`);
  };

  const span = (seconds) => {
    let rest = Math.round(seconds);
    const parts = [];
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]) {
      const count = Math.floor(rest / size);
      rest -= count * size;
      if (count || parts.length) parts.push([count, unit]);
      if (parts.length === 2) break;
    }
    return parts.filter(([count]) => count).map(([count, unit]) => count + unit).join(" ") || "0s";
  };

  const age = () => {
    const now = Date.now() / 1000;
    for (const time of document.querySelectorAll("time[data-at]")) {
      const ahead = Number(time.dataset.at) - now;
      const text = Math.abs(ahead) < 1 ? "now" : ahead > 0 ? `in ${span(ahead)}` : `${span(-ahead)} ago`;
      if (time.textContent !== text) time.textContent = text;
    }
  };

  const copy = async (button) => {
    try { await navigator.clipboard.writeText(button.dataset.copy); } catch { return; }
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1200);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copy(button);
  });
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form");
    if (form) form.dataset.dirty = "";
  });
  document.addEventListener("visibilitychange", () => { listen(); refresh(); });
  window.addEventListener("pagehide", () => { if (source) source.close(); source = null; });
  window.addEventListener("pageshow", (event) => { if (event.persisted) { listen(); refresh(); } });

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => { button.textContent = `Theme: ${theme}`; };
    button.hidden = false;
    name();
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try { localStorage.setItem("theme", theme); } catch { /* for this page only */ }
      show(theme);
      name();
    });
    const here = document.querySelector(".nav [aria-current]");
    if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 16;
    if (!live()) return;
    guardInput();
    document.body.addEventListener("htmx:afterRequest", (event) => { if (event.detail.elt.dataset.live !== undefined) answered(event.detail.successful); });
    document.body.addEventListener("htmx:afterSettle", age);
    say("live");
    listen();
    setInterval(() => { if (Date.now() - asked >= POLL_EVERY) { waiting = false; refresh(); } }, POLL_EVERY / 3);
    setInterval(age, AGES_EVERY);
  });
})();
