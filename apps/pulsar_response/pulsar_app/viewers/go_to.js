// Shows the slice through a point: asked by another script of this app, or by the address of the page, `…#at=x,y,z`.
// Points are RAS mm, as in the server's answers; Cornerstone, like DICOM, has LPS.
(() => {
  'use strict';
  const viewports = () =>
    (window.cornerstone?.getRenderingEngines?.() ?? []).flatMap(engine => engine.getViewports()).filter(one => one.getActors().length);

  window.pulsarGoTo = ([x, y, z]) => {
    const point = [-x, -y, z];
    for (const viewport of viewports()) {
      const { focalPoint, position, viewPlaneNormal } = viewport.getCamera();
      const step = viewPlaneNormal.reduce((sum, n, i) => sum + n * (point[i] - focalPoint[i]), 0);
      const moved = from => from.map((value, i) => value + step * viewPlaneNormal[i]);
      viewport.setCamera({ focalPoint: moved(focalPoint), position: moved(position) });
      viewport.render();
    }
  };

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
