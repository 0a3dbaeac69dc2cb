// Says on every page of a viewer what it is for, at the very bottom, and what the model was trained on: the server's
// model at first, then the one that answered. It takes no clicks.
(() => {
  'use strict';
  const TEXT = 'RESEARCH USE ONLY';

  async function trainedOn() {
    const answer = await fetch('/info/', { credentials: 'same-origin' });
    if (!answer.ok) return '';
    const info = await answer.json();
    return info.notice || info.description || '';
  }

  const banner = document.createElement('div');
  banner.id = 'pulsar-research-banner';
  banner.textContent = TEXT;
  Object.assign(banner.style, {
    padding: '1px 12px', background: '#ffd400', color: '#000', pointerEvents: 'none', font: '600 11px/14px sans-serif',
    textAlign: 'center',
  });
  window.pulsarDock.append(banner);
  window.pulsarNotice = notice => {
    if (notice) banner.textContent = notice.toUpperCase().includes('RESEARCH') ? notice : `${TEXT}: ${notice}`;
  };
  trainedOn().then(window.pulsarNotice, () => {}); // without an answer, the short text stays
})();
