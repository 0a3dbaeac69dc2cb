// A strip along the bottom of a viewer's page for what this app adds to it. The viewer ends above it, so
// that nothing lies over its images, thumbnails or texts.
(() => {
  'use strict';
  const strip = document.createElement('div');
  strip.id = 'pulsar-dock';
  Object.assign(strip.style, { position: 'fixed', left: '0', right: '0', bottom: '0', zIndex: '1' });

  // OHIF gives all that is below its header a height of its own, down to the end of the window, and has its passing
  // messages there (sonner). MONAI Label's panel, which
  // begins 96 px down at most, does not scroll by itself.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    #root div[style^="height: calc"][style*="100vh"] { box-sizing: border-box; padding-bottom: var(--pulsar-dock, 0); }
    [data-sonner-toaster][data-y-position="bottom"] { bottom: calc(var(--pulsar-dock, 0px) + 16px); }
    .monaiLabelPanel { max-height: calc(100vh - 96px - var(--pulsar-dock, 0px)); overflow-y: auto; }`);
  document.adoptedStyleSheets.push(sheet);
  new ResizeObserver(() => {
    document.documentElement.style.setProperty('--pulsar-dock', `${strip.offsetHeight}px`);
  }).observe(strip);

  const show = () => document.body.append(strip);
  if (document.body) show();
  else document.addEventListener('DOMContentLoaded', show);

  window.pulsarDock = strip;
})();
