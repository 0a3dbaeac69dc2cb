// OHIF's MONAI Label mode shows only the label map of a result. This shows the rest of the answer: per lesion its
// probabilities, volume and warnings, and what was refused, in a panel over the study list. It reads what the page already
// asks the server for, and changes none of it.
(() => {
  'use strict';
  // OHIF's default is port 8000 of this host; the server is where the page is from.
  document.cookie = `MONAILABEL_SERVER_URL=${escape(`${location.origin}/`)}; path=/ohif; SameSite=Strict`;

  const STYLE = `
    :host { position: fixed; left: 6px; bottom: 6px; z-index: 9999; width: 280px; font: 12px/1.4 sans-serif; color: #eee; }
    section { background: #10131cf2; border: 1px solid #ffd400; border-radius: 6px; }
    header { display: flex; justify-content: space-between; gap: 8px; padding: 4px 8px; font-weight: 700; color: #ffd400; }
    button { all: unset; cursor: pointer; text-decoration: underline; }
    button:focus-visible { outline: 2px solid #ffd400; }
    #body { max-height: 55vh; overflow: auto; padding: 0 8px 8px; overflow-wrap: anywhere; }
    #body[hidden] { display: none; }
    h4 { margin: 8px 0 2px; font-size: 12px; color: #8fd3ff; }
    p { margin: 2px 0; }
    .probability { font-size: 13px; font-weight: 600; }
    .warning { color: #ffb14d; }
    .quiet { color: #b5bccb; font-size: 11px; }
    .band { display: inline-block; width: 22px; height: 10px; }`;

  // The probabilities are not calibrated, so none is shown as certain.
  function percent(value) {
    if (typeof value !== 'number') return '?';
    if (value < 0.01) return '< 1 %';
    return value > 0.99 ? '> 99 %' : `${(100 * value).toFixed(1)} %`;
  }
  const list = value => (Array.isArray(value) ? value : []);

  function element(kind, text, name) {
    const made = document.createElement(kind);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  // The colour that OHIF gives a label: from the text of its name alone.
  function labelColour(name) {
    const h = [...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 4 * name.length);
    return `rgb(${(2 * h) % 256}, ${(3 * h) % 256}, ${(5 * h) % 256})`;
  }

  let panel;
  function body() {
    if (panel) return panel;
    const host = element('div');
    host.id = 'pulsar-panel';
    const root = host.attachShadow({ mode: 'open' });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const section = element('section');
    const header = element('header');
    const fold = element('button', 'hide');
    panel = element('div');
    panel.id = 'body';
    panel.setAttribute('aria-live', 'polite');
    fold.addEventListener('click', () => {
      panel.hidden = !panel.hidden;
      fold.textContent = panel.hidden ? 'show' : 'hide';
    });
    header.append(element('span', 'PULSAR response · RESEARCH USE ONLY'), fold);
    section.append(header, panel);
    root.append(section);
    document.body.append(host);
    return panel;
  }

  function showProblem(text) {
    body().replaceChildren(element('p', text, 'warning'));
  }

  const boost = lesion => (lesion.boost_mm3 > 0 ? `${(lesion.boost_mm3 / 1000).toFixed(2)} cm³` : 'empty (0 cm³)');

  function lesionParts(lesion) {
    const name = element('h4');
    if (list(lesion.location_mm).length === 3) {
      const jump = element('button', lesion.roi);
      jump.title = 'Show the slice through this lesion';
      jump.addEventListener('click', () => window.pulsarGoTo(lesion.location_mm));
      name.append(jump);
    } else {
      name.textContent = lesion.roi;
    }
    const volume = typeof lesion.volume_mm3 === 'number' ? `${(lesion.volume_mm3 / 1000).toFixed(2)} cm³` : '?';
    return [
      name,
      element('p', `P(response) ${percent(lesion.p_response)}`, 'probability'),
      element('p', `P(non-response) ${percent(lesion.p_non_response)}`, 'probability'),
      element('p', `class: ${lesion.class} (response from ${percent(lesion.threshold)}) · ${volume} · ${lesion.source}`),
      ...(lesion.outline ? [element('p', `outline: ${lesion.outline}`, 'quiet')] : []),
      ...(lesion.shown_class ? [element('p', `colours: evidence for ${lesion.shown_class}`)] : []),
      ...(typeof lesion.boost_mm3 === 'number' ? [element('p', `boost region (hypothesis): ${boost(lesion)}`)] : []),
      ...list(lesion.warnings).map(text => element('p', text, 'warning')),
    ];
  }

  function mapParts(cam) {
    if (!cam || !list(cam.bands).length) return [];
    const scale = element('p');
    scale.append('Map: weak ');
    for (const name of cam.bands) {
      const band = element('span', undefined, 'band');
      band.style.background = labelColour(name);
      band.title = name;
      scale.append(band);
    }
    scale.append(' strong evidence');
    return [scale, element('p', `method: ${cam.variant}`, 'quiet')];
  }

  function show(answer) {
    const lesions = list(answer.lesions);
    const weights = String(answer.model?.sha256 ?? '').slice(0, 12);
    const parts = [
      // With lesions, the message says what stands below once more.
      ...(answer.message && !lesions.length ? [element('p', answer.message, 'warning')] : []),
      ...lesions.flatMap(lesionParts),
      ...mapParts(answer.cam),
      ...list(answer.warnings).map(text => element('p', text, 'warning')),
      ...list(answer.listed).map(item => element('p', `Listed, not predicted: ${item.roi} (${item.why})`, 'quiet')),
      ...list(answer.notes).map(text => element('p', text, 'quiet')),
      ...list(answer.stored).map(item => element('p', `Stored in the PACS: ${item.description ?? item.kind}`)),
      element('p', answer.notice, 'quiet'),
      ...(weights ? [element('p', `model ${weights}`, 'quiet')] : []),
    ];
    body().replaceChildren(...parts);
  }

  async function showAnswer(image) {
    const reply = await fetch(`/pulsar/answers/${encodeURIComponent(image)}`, { credentials: 'same-origin' });
    if (reply.ok) show(await reply.json());
    else showProblem('The answer is no longer there; run the model again.');
  }

  function sentence(request) {
    try {
      const raw = request.responseType === 'arraybuffer' ? new TextDecoder().decode(request.response) : request.responseText;
      return String(JSON.parse(raw).detail);
    } catch {
      return `The server refused (status ${request.status}).`;
    }
  }

  const send = XMLHttpRequest.prototype.send;
  const open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    const asked = new URL(url, location.href);
    const infers = /^\/infer\/[^/]+$/.test(asked.pathname) && String(method).toUpperCase() === 'POST';
    this.pulsarImage = infers ? asked.searchParams.get('image') : null;
    return open.call(this, method, url, ...rest);
  };
  XMLHttpRequest.prototype.send = function (...content) {
    const image = this.pulsarImage;
    if (image) {
      this.addEventListener('loadend', () => {
        if (this.status >= 200 && this.status < 300) showAnswer(image).catch(() => showProblem('The answer could not be read.'));
        else showProblem(this.status ? sentence(this) : 'The server did not answer.');
      });
    }
    return send.apply(this, content);
  };
})();
