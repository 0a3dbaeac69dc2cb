// Says on every page of a viewer what it is for. It lies over the page and takes no clicks.
(() => {
  'use strict';
  const TEXT = 'RESEARCH USE ONLY';

  async function trainedOn() {
    const answer = await fetch('/info/', { credentials: 'same-origin' });
    if (!answer.ok) return '';
    const info = await answer.json();
    return info.notice || info.description || '';
  }

  function show() {
    const banner = document.createElement('div');
    banner.id = 'pulsar-research-banner';
    banner.textContent = TEXT;
    Object.assign(banner.style, {
      position: 'fixed', bottom: '0', left: '50%', transform: 'translateX(-50%)', zIndex: '10000', width: 'max-content',
      maxWidth: '70vw', padding: '1px 12px', borderRadius: '6px 6px 0 0', background: '#ffd400', color: '#000',
      pointerEvents: 'none', font: '600 11px/14px sans-serif', textAlign: 'center',
    });
    document.body.appendChild(banner);
    trainedOn().then(
      notice => {
        if (notice) banner.textContent = notice.toUpperCase().includes('RESEARCH') ? notice : `${TEXT}: ${notice}`;
      },
      () => {} // the short text stays
    );
  }

  if (document.body) show();
  else document.addEventListener('DOMContentLoaded', show);
})();
