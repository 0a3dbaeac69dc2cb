// OHIF's MONAI Label mode asks the server for a label map and drops the rest of the answer. This listens to
// what the page asks, changes none of it, and hands the whole answer, or why there is none, to the panel.
(() => {
  'use strict';
  // OHIF's default is port 8000 of this host; the server is where the page is from.
  document.cookie = `MONAILABEL_SERVER_URL=${escape(`${location.origin}/`)}; path=/ohif; SameSite=Strict`;

  async function tellAnswer(image, model) {
    const reply = await fetch(`/pulsar/answers/${encodeURIComponent(image)}`, { credentials: 'same-origin' });
    if (reply.ok) window.pulsarPanel.show(await reply.json(), model);
    else window.pulsarPanel.showProblem('The answer is no longer there; run the model again.');
  }

  function sentence(request) {
    try {
      const raw = request.responseType === 'arraybuffer';
      return String(JSON.parse(raw ? new TextDecoder().decode(request.response) : request.responseText).detail);
    } catch {
      return `The server refused (status ${request.status}).`;
    }
  }

  function tell(request, { image, model }) {
    if (request.status >= 200 && request.status < 300)
      tellAnswer(image, model).catch(() => window.pulsarPanel.showProblem('The answer could not be read.'));
    else window.pulsarPanel.showProblem(request.status ? sentence(request) : 'The server did not answer.');
  }

  const { send, open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    const asked = new URL(url, location.href);
    const model = String(method).toUpperCase() === 'POST' && asked.pathname.match(/^\/infer\/([^/]+)$/)?.[1];
    this.pulsarAsked = model && { image: asked.searchParams.get('image'), model: decodeURIComponent(model) };
    return open.call(this, method, url, ...rest);
  };
  XMLHttpRequest.prototype.send = function (...content) {
    const asked = this.pulsarAsked;
    if (asked?.image) this.addEventListener('loadend', () => tell(this, asked));
    return send.apply(this, content);
  };
})();
