/* Keeps the page fresh where scripts run: fetches it again every two seconds and puts the new
   content in the place of the old, while somebody looks and has not paused it. Without it the page
   is complete. No less-than sign and no ampersand stand here: the page is well-formed without
   sections of their own for scripts. */
(function () {
  'use strict';
  var every = 2000, timer = 0, paused = false, busy = false, since = Date.now();
  var at = function (id) { return document.getElementById(id); };
  var pause = at('pause'), stale = at('stale'), said = at('said');
  function later() {
    clearTimeout(timer);
    if (!paused) timer = setTimeout(tick, every);
  }
  function selecting() {
    var s = window.getSelection();
    return s ? !s.isCollapsed : false;
  }
  function take(text) {
    var next = new DOMParser().parseFromString(text, 'text/html');
    var main = next.getElementById('main'), when = next.getElementById('when');
    var held = document.activeElement ? document.activeElement.id : '';
    var line = main ? main.querySelector('h1').textContent : '';
    var scrolled = {};
    if (!main) throw new Error('no page');
    document.querySelectorAll('.scroll').forEach(function (e) { scrolled[e.id] = e.scrollLeft; });
    if (at('verdict').textContent !== line) said.textContent = line;
    document.title = next.title;
    at('when').textContent = when.textContent;
    at('main').replaceChildren.apply(at('main'), Array.from(main.childNodes));
    Object.keys(scrolled).forEach(function (id) { if (at(id)) at(id).scrollLeft = scrolled[id]; });
    if (held) if (at(held)) if (document.activeElement !== at(held)) at(held).focus({ preventScroll: true });
    since = Date.now();
    stale.hidden = true;
  }
  function failed() {
    stale.textContent = 'This node does not answer: what stands here is ' +
      Math.round((Date.now() - since) / 1000) + ' s old.';
    stale.hidden = false;
  }
  function tick(asked) {
    var stop = new AbortController(), limit;
    if (busy) return;
    if (asked !== true) if (document.hidden || selecting()) return later();
    busy = true;
    limit = setTimeout(function () { stop.abort(); }, 5000);
    fetch('/', { cache: 'no-store', signal: stop.signal })
      .then(function (r) { if (!r.ok) throw new Error(r.status); return r.text(); })
      .then(take).catch(failed)
      .then(function () { clearTimeout(limit); busy = false; later(); });
  }
  pause.hidden = false;
  pause.addEventListener('click', function () {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Resume' : 'Pause';
    if (paused) clearTimeout(timer); else tick(true);
  });
  at('refresh').addEventListener('click', function (e) { e.preventDefault(); tick(true); });
  document.addEventListener('visibilitychange', function () { if (!document.hidden) if (!paused) tick(); });
  later();
})();
