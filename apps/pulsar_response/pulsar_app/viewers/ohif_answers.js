// OHIF's MONAI Label mode asks the server for a label map and drops the rest of the answer. This listens to
// what the page asks and hands the whole answer, or why there is none, to the panel. It adds one thing to what is asked:
// which study is open, so that models are listed only where the study has what they need.
(() => {
  'use strict';
  // OHIF's default is port 8000 of this host; the server is where the page is from.
  document.cookie = `MONAILABEL_SERVER_URL=${escape(`${location.origin}/`)}; path=/ohif; SameSite=Strict`;

  const SECOND = 1000;

  async function tellAnswer(image, model, hint) {
    const reply = await fetch(`/answers/${encodeURIComponent(image)}`, { credentials: 'same-origin' });
    if (reply.ok) window.pulsarPanel.show(await reply.json(), model, hint);
    else window.pulsarPanel.showProblem('The answer is no longer there; run the model again.');
  }

  function content(request) {
    const raw = request.responseType === 'arraybuffer';
    return JSON.parse(raw ? new TextDecoder().decode(request.response) : request.responseText);
  }

  function sentence(request) {
    try {
      return String(content(request).detail);
    } catch {
      return `The server refused (status ${request.status}).`;
    }
  }

  // Long work is a job: the panel shows where it stands until it has ended.
  async function followJob(job, { image, model }) {
    const address = `/jobs/${encodeURIComponent(job)}`;
    const stop = () => fetch(address, { method: 'DELETE', credentials: 'same-origin' });
    for (;;) {
      const reply = await fetch(address, { credentials: 'same-origin' });
      if (!reply.ok) throw new Error('the job is gone');
      const told = await reply.json();
      if (told.state === 'done') return tellAnswer(image, model, 'The map is ready: press Run again to see it.');
      if (told.state === 'failed' || told.state === 'cancelled')
        return window.pulsarPanel.showProblem(told.problem || 'The job was stopped.');
      window.pulsarPanel.showJob(told, stop);
      await new Promise(later => setTimeout(later, SECOND));
    }
  }

  // Which models the open study lacks inputs for.
  function tellOffer(request) {
    try {
      window.pulsarPanel.showOffer(content(request).not_offered);
    } catch {
      // The page says itself that it could not connect.
    }
  }

  function tell(request, { image, model }) {
    const unread = () => window.pulsarPanel.showProblem('The answer could not be read.');
    if (request.status === 202) followJob(content(request).job, { image, model }).catch(unread);
    else if (request.status >= 200 && request.status < 300) tellAnswer(image, model).catch(unread);
    else window.pulsarPanel.showProblem(request.status ? sentence(request) : 'The server did not answer.');
  }

  const { send, open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    const asked = new URL(url, location.href);
    const study = new URLSearchParams(location.search).get('StudyInstanceUIDs')?.split(',')[0];
    if (asked.origin === location.origin && asked.pathname === '/info/' && study) {
      asked.searchParams.set('StudyInstanceUID', study);
      this.addEventListener('loadend', () => tellOffer(this));
      return open.call(this, method, asked.href, ...rest);
    }
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
