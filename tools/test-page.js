/* What tools/test-page asks of the status page in a browser: put behind the page's own script, it leaves its answer in an
   element of its own. SCHEME is 'light' or 'dark'. */
(function () {
  'use strict';
  var wrong = [], root = document.documentElement;
  function say(what, e) {
    wrong.push(what + (e ? ' <' + e.tagName.toLowerCase() + (e.id ? ' id=' + e.id : '') +
      (e.className.baseVal === undefined && e.className ? ' class=' + e.className : '') + '> "' +
      e.textContent.trim().slice(0, 40).replace(/\s+/g, ' ') + '"' : ''));
  }
  function colour(text) {
    var m = text.match(/[\d.]+/g).map(Number);
    return { r: m[0], g: m[1], b: m[2], a: m.length > 3 ? m[3] : 1 };
  }
  function light(c) {
    var f = function (v) { v /= 255; return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); };
    return 0.2126 * f(c.r) + 0.7152 * f(c.g) + 0.0722 * f(c.b);
  }
  function ground(e) {
    for (; e; e = e.parentElement) {
      var c = colour(getComputedStyle(e).backgroundColor);
      if (c.a === 1) return c;
      if (c.a !== 0) say('a ground that is half transparent', e);
    }
    return { r: 255, g: 255, b: 255 };
  }
  function ratio(a, b) {
    var x = light(a), y = light(b);
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  }
  function hidden(e) {
    return e.getClientRects().length === 0 || e.closest('.vh, .skip, script, style, noscript, title') !== null;
  }

  // The page as a whole has no bar from side to side, and nothing in it is cut.
  if (root.scrollWidth > root.clientWidth) {
    say('the page is ' + root.scrollWidth + ' wide, the window ' + root.clientWidth);
    document.querySelectorAll('main *').forEach(function (e) {
      if (e.closest('.scroll') === null && e.getBoundingClientRect().right > root.clientWidth + 1) say('too wide:', e);
    });
  }
  document.querySelectorAll('body *').forEach(function (e) {
    var s = getComputedStyle(e);
    if (!hidden(e) && s.overflowX !== 'visible' && !e.classList.contains('scroll') && !(e instanceof SVGElement) &&
        e.scrollWidth > e.clientWidth + 1) say('cut:', e);
    // Bars are seen without their colour's name: 3 to 1 against their ground.
    if (e.tagName === 'rect' && s.opacity === '1' && ratio(colour(s.fill), ground(e.parentElement)) < 3)
      say('a bar of ' + s.fill + ' is hardly seen', e);
  });

  // Every text: 4.5 to 1 against what is behind it, large ones 3 to 1.
  var texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), n = 0, node;
  while ((node = texts.nextNode())) {
    var e = node.parentElement, s = getComputedStyle(e);
    if (node.data.trim() === '' || hidden(e)) continue;
    var size = parseFloat(s.fontSize), large = size >= 24 || (size >= 18.66 && Number(s.fontWeight) >= 700);
    var has = ratio(colour(s.color), ground(e));
    n++;
    if (has < (large ? 3 : 4.5)) say('contrast ' + has.toFixed(2), e);
  }
  if (n < 50) say('only ' + n + ' texts are seen');
  if (matchMedia('(prefers-color-scheme: dark)').matches !== (SCHEME === 'dark')) say('the scheme is not ' + SCHEME);

  // By keyboard: what can be reached is in the order of the page, is seen when it is reached, and shows it.
  var stops = Array.from(document.querySelectorAll('a[href], button, summary, [tabindex]')).filter(function (e) {
    return e.tabIndex >= 0 && (e.classList.contains('skip') || e.getClientRects().length > 0);
  });
  if (!stops.length || !stops[0].classList.contains('skip')) say('the first stop is not the way to the content');
  stops.forEach(function (e) {
    e.focus();
    var s = getComputedStyle(e), r = e.getBoundingClientRect();
    if (e.tabIndex > 0) say('an order of its own', e);
    if (document.activeElement !== e) say('cannot be reached', e);
    if (s.outlineStyle === 'none' || parseFloat(s.outlineWidth) < 2) say('does not show that it is reached', e);
    if (r.left < 0 || r.right > root.clientWidth + 1) say('is outside when it is reached', e);
    if (e.closest('header') && r.height < 24) say('is only ' + r.height + ' high', e);
  });
  if (document.getAnimations().length) say('something moves');

  var out = document.createElement('pre');
  out.id = 'test-page';
  // Now and then a window has not got the keyboard yet when its page is there: that is asked again.
  out.textContent = !document.hasFocus() ? 'AGAIN\nEND' : 'WRONG ' + wrong.length + '\n' + wrong.join('\n') + '\nEND';
  document.body.appendChild(out);
})();
