// Shows the place of a lesion: asked by another script of this app, or by the address of the page, `…#at=x,y,z`.
// Points are RAS mm, as in the server's answers; Cornerstone, like DICOM, has LPS.
(() => {
  'use strict';
  const engines = () => window.cornerstone?.getRenderingEngines?.() ?? [];
  const viewports = () => engines().flatMap(engine => engine.getViewports()).filter(one => one.getActors().length);
  const lps = ([x, y, z]) => [-x, -y, z];

  // The slice through a point; what of it is in view stays.
  function showSlice(viewport, point) {
    const { focalPoint, position, viewPlaneNormal } = viewport.getCamera();
    const step = viewPlaneNormal.reduce((sum, n, i) => sum + n * (point[i] - focalPoint[i]), 0);
    const moved = from => from.map((value, i) => value + step * viewPlaneNormal[i]);
    viewport.setCamera({ focalPoint: moved(focalPoint), position: moved(position) });
    viewport.render();
  }

  // A field of `size` mm around a point, whichever way the viewport is longer.
  function zoomTo(viewport, point, size) {
    const { focalPoint, position } = viewport.getCamera();
    const { clientWidth: width, clientHeight: height } = viewport.element;
    viewport.setCamera({
      focalPoint: point,
      position: position.map((value, i) => value + point[i] - focalPoint[i]),
      parallelScale: (size / 2) * Math.max(1, height / width), // half of what the viewport's height shows
    });
    viewport.render();
  }

  window.pulsarGoTo = point => viewports().forEach(viewport => showSlice(viewport, lps(point)));
  window.pulsarZoomTo = (point, size) => viewports().forEach(viewport => zoomTo(viewport, lps(point), size));

  // All of the image again, in the slices that are shown.
  window.pulsarWholeHead = () =>
    viewports().forEach(viewport => {
      const { focalPoint } = viewport.getCamera();
      viewport.resetCamera();
      showSlice(viewport, focalPoint);
    });

  const asked = new URLSearchParams(location.hash.slice(1)).get('at')?.split(',').map(Number);
  if (asked?.length !== 3 || !asked.every(Number.isFinite)) return;
  // A map that the address names is laid over the MR: two actors.
  const layers = new URLSearchParams(location.search).has('initialSeriesInstanceUID') ? 2 : 1;
  const loaded = () => [...window.cornerstone.cache._volumeCache.values()].every(one => one.volume?.loadStatus?.loaded);
  const waiting = setInterval(() => {
    if (!viewports().some(one => one.getActors().length >= layers) || !loaded()) return;
    clearInterval(waiting);
    window.pulsarGoTo(asked);
  }, 200);
  setTimeout(() => clearInterval(waiting), 60000);
})();
