// Follows the logs of VMs: each [data-log] shows the lines that come as server-sent events, and stays at its end while it is there.
"use strict";

(() => {
  const MOST_LINES = 2000;
  const TROUBLE = /\b(error|failed|failure|fatal|critical|panic|traceback|exception)\b/i;
  const WARNING = /\bwarn(ing)?\b/i;

  const show = (line) => {
    const shown = document.createElement("span");
    shown.textContent = line.line || " ";
    if (TROUBLE.test(line.line)) shown.className = "bad";
    else if (WARNING.test(line.line)) shown.className = "warn";
    return shown;
  };

  const follow = (place) => {
    const source = new Stream(place.dataset.log);
    source.addEventListener("lines", (event) => {
      const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
      place.append(...JSON.parse(event.data).items.map(show));
      while (place.childElementCount > MOST_LINES) place.firstChild.remove();
      if (atEnd) place.scrollTop = place.scrollHeight;
    });
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-log]").forEach(follow));
})();
