// Keeps the page up to date: the server says which parts of it changed, and they are put in place.
// Without this script the page is what it was when it was loaded.
"use strict";

(() => {
  const main = document.querySelector("main[data-live]");
  const link = document.getElementById("link");
  if (!main || !window.EventSource) return;

  const say = (text) => {
    if (link.textContent !== text) link.textContent = text;
  };
  const places = () => [...main.querySelectorAll(".part")].map((place) => place.id);

  // Nobody's selection is torn from under them: such a part waits for the next change.
  const isSelectedIn = (place) => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && place.contains(selection.anchorNode);
  };

  const put = (part) => {
    const place = document.getElementById(part.id);
    if (!place || place.dataset.mark === part.mark) return true;
    if (isSelectedIn(place)) return false;
    const open = [...place.querySelectorAll("details[open]")].map((details) => details.id);
    const held = place.contains(document.activeElement) ? document.activeElement : null;
    const nth = held ? [...place.querySelectorAll(held.tagName)].indexOf(held) : -1;
    place.innerHTML = part.html;
    place.dataset.mark = part.mark;
    for (const id of open) {
      const details = id && document.getElementById(id);
      if (details) details.open = true;
    }
    if (held) place.querySelectorAll(held.tagName)[nth]?.focus({ preventScroll: true });
    return true;
  };

  let late = new Map();
  const take = (event) => {
    const news = JSON.parse(event.data);
    // Fleets came or went: the page has other parts now.
    if (news.ids.join() !== places().join()) return location.reload();
    for (const part of news.parts) late.set(part.id, part);
    late = new Map([...late].filter(([, part]) => !put(part)));
    main.dispatchEvent(new CustomEvent("fresh"));
  };

  let source = null;
  const listen = () => {
    if (source) return;
    source = new EventSource(main.dataset.live);
    source.onopen = () => say("Live.");
    source.onmessage = take;
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        source = null;
        say("Not live: too many pages are open. Load it again to see what is new.");
      } else {
        say("The connection is lost; what is shown may be old. Trying again.");
      }
    };
  };

  // A page that nobody sees asks for nothing.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return listen();
    if (source) source.close();
    source = null;
    // Whatever changes meanwhile is sent as a whole.
    main.dataset.live = main.dataset.live.replace(/&seen=.*$/, "");
  });
  if (!document.hidden) listen();
})();
