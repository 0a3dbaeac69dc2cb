// OHIF's MONAI Label mode shows only the label map of a result. This shows the rest of the answer below the
// viewer: the legend of the colours, per lesion or case its probabilities, how sure they are, and warnings.
(() => {
  'use strict';
  const STYLE = `
    section { background: #10131c; border-top: 1px solid #ffd400; font: 12px/1.4 sans-serif; color: #eee; }
    header { display: flex; gap: 16px; padding: 2px 8px; font-weight: 700; color: #ffd400; }
    #model { flex: 1; color: #b5bccb; font-weight: 400; }
    #model { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    button { all: unset; cursor: pointer; text-decoration: underline; }
    button:focus-visible, article:focus-visible { outline: 2px solid #ffd400; }
    #body { display: flex; gap: 6px; height: clamp(150px, 25vh, 300px); padding: 0 8px 6px; }
    #body[hidden] { display: none; }
    #legend { flex: none; max-width: 230px; overflow: auto; }
    #lesions { flex: 1; display: flex; gap: 6px; overflow-x: auto; }
    article { flex: 1 0 230px; max-width: 480px; overflow: auto; overflow-wrap: anywhere; padding: 0 8px; }
    article { border-left: 4px solid #39404f; }
    h4 { margin: 0 0 2px; font-size: 12px; color: #8fd3ff; }
    p { margin: 2px 0; }
    .probability { font-size: 13px; font-weight: 400; }
    .sure { font-weight: 700; }
    .set { color: #fff; font-size: 13px; font-weight: 600; }
    .warning { color: #ffb14d; }
    .quiet { color: #b5bccb; font-size: 11px; }
    article.sheet { flex: 3 0 480px; max-width: 680px; }
    article.curve { flex: 0 0 265px; }
    table { border-collapse: collapse; font-size: 12px; }
    td { padding: 0 8px 1px 0; vertical-align: top; }
    td:first-child { white-space: nowrap; }
    td.value { text-align: right; white-space: nowrap; color: #fff; }
    .band { display: inline-block; width: 22px; height: 10px; }
    .colour { display: inline-block; width: 10px; height: 10px; margin-right: 5px; }`;
  const HINT = 'No prediction yet: press the round arrow beside Server at the right, then Run.';
  // What is shown around a lesion, in times its diameter, and the least of it in mm.
  const FIELD = 3, LEAST_FIELD = 30;

  // No probability is shown as certain.
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
  const lines = (texts, name) => list(texts).map(text => element('p', text, name));

  function button(text, title, action) {
    const made = element('button', text);
    made.title = title;
    made.addEventListener('click', action);
    return made;
  }

  const legend = element('aside');
  legend.id = 'legend';
  const lesions = element('div');
  lesions.id = 'lesions';
  lesions.setAttribute('aria-live', 'polite');
  const modelName = element('span');
  modelName.id = 'model';

  function build() {
    if (document.querySelector('#pulsar-panel')) return;
    const host = element('div');
    host.id = 'pulsar-panel';
    const root = host.attachShadow({ mode: 'open' });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const body = element('div');
    body.id = 'body';
    body.append(legend, lesions);
    const fold = button('hide', 'Fold the panel away, or show it again', () => {
      body.hidden = !body.hidden;
      fold.textContent = body.hidden ? 'show' : 'hide';
      fold.setAttribute('aria-expanded', String(!body.hidden));
    });
    fold.setAttribute('aria-expanded', 'true');
    const whole = button('whole head', 'Show the whole head again', () => window.pulsarWholeHead());
    const header = element('header');
    header.append(element('span', 'RESEARCH USE ONLY'), modelName, whole, fold);
    const section = element('section');
    section.setAttribute('aria-label', "The model's answer");
    section.append(header, body);
    root.append(section);
    window.pulsarDock.prepend(host);
    lesions.replaceChildren(card(lines([HINT], 'quiet')));
  }

  function card(parts, colour) {
    const made = element('article');
    made.tabIndex = 0; // so that the keyboard scrolls it
    if (colour) made.style.borderColor = colour;
    made.append(...parts);
    return made;
  }

  // The colour that OHIF gives a label: from the text of its name alone.
  function labelColour(name) {
    const h = [...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 4 * name.length);
    return `rgb(${(2 * h) % 256}, ${(3 * h) % 256}, ${(5 * h) % 256})`;
  }

  function ramp(names, colours) {
    const scale = element('p');
    names.forEach((name, i) => {
      const band = element('span', undefined, 'band');
      band.style.background = colours?.[i] ?? labelColour(name);
      band.title = name;
      scale.append(band);
    });
    return scale;
  }

  // Names of bands are one list for all classes, or a list for each class.
  function legendParts(cam, shown) {
    if (!cam?.bands || !shown.length) return [];
    const ramps = Array.isArray(cam.bands)
      ? [element('h4', `Evidence for ${shown.join(', ')}`), ramp(cam.bands)]
      : shown.flatMap(of => [element('h4', `Evidence for ${of}`), ramp(list(cam.bands[of]), cam.band_colours?.[of])]);
    return [
      ...ramps,
      element('p', 'weak to strong, on the scale that is fixed for this model; no colour: no evidence', 'quiet'),
      element('p', `method: ${cam.variant}`, 'quiet'),
    ];
  }

  function name(lesion) {
    const made = element('h4');
    if (list(lesion.location_mm).length !== 3) {
      made.textContent = lesion.roi;
      return made;
    }
    const diameter = Math.cbrt((6 * (lesion.volume_mm3 || 0)) / Math.PI);
    const size = Math.max(LEAST_FIELD, FIELD * diameter);
    made.append(button(lesion.roi, 'Zoom to this lesion', () => window.pulsarZoomTo(lesion.location_mm, size)));
    return made;
  }

  function certaintyParts(certainty) {
    if (!certainty?.calibrated) return lines([certainty?.why_not || 'The probabilities are not calibrated.'], 'quiet');
    const level = `${Math.round(100 * certainty.level)} %`;
    const set = certainty.set_text === 'undecided' ? `undecided at ${level}` : `set at ${level}: ${certainty.set_text}`;
    return [element('p', set, 'set'), ...lines(certainty.why_not ? [certainty.why_not] : [], 'warning')];
  }

  const boost = lesion => (lesion.boost_mm3 > 0 ? `${(lesion.boost_mm3 / 1000).toFixed(2)} cm³` : 'empty (0 cm³)');

  function lesionCard(lesion, colours) {
    const volume = typeof lesion.volume_mm3 === 'number' ? `${(lesion.volume_mm3 / 1000).toFixed(2)} cm³` : '?';
    const probability = lesion.certainty?.emphasise ? 'probability sure' : 'probability';
    const parts = [
      name(lesion),
      ...certaintyParts(lesion.certainty),
      element('p', `P(response) ${percent(lesion.p_response)}`, probability),
      element('p', `P(non-response) ${percent(lesion.p_non_response)}`, probability),
      element('p', `class: ${lesion.class} (response from ${percent(lesion.threshold)})`),
      element('p', `${volume} · ${lesion.source}`),
      ...(lesion.shown_class ? [element('p', `colours: evidence for ${lesion.shown_class}`)] : []),
      ...lines(list(lesion.warnings).filter(text => text !== lesion.certainty?.why_not), 'warning'),
      ...(typeof lesion.boost_mm3 === 'number' ? [element('p', `boost region (hypothesis): ${boost(lesion)}`)] : []),
      ...(lesion.outline ? [element('p', `outline: ${lesion.outline}`, 'quiet')] : []),
    ];
    return card(parts, colours?.[lesion.shown_class]);
  }

  function caseCertainty(certainty) {
    if (!certainty?.calibrated) return lines(['The probabilities are not calibrated.'], 'quiet');
    const members = list(certainty.set).join(' or ') || 'none';
    return [element('p', `set at ${Math.round(100 * certainty.level)} %: ${members}`, 'set')];
  }

  // A class's probability beside its colour.
  function probabilityLine(of, p, colour) {
    const line = element('p', `P(${of}) ${percent(p)}`, 'probability');
    const square = element('span', undefined, 'colour');
    square.style.background = colour;
    line.prepend(square);
    return line;
  }

  // The answer of a model that predicts the case as a whole, with as many classes as it has.
  function caseCard(answer) {
    const votes = Object.values(answer.votes ?? {}).reduce((sum, count) => sum + count, 0);
    const shown = answer.map?.shown_class;
    return card([
      element('h4', `${answer.model?.title ?? ''}: ${answer.class}`),
      ...caseCertainty(answer.certainty),
      ...Object.entries(answer.probabilities).map(([of, p]) => probabilityLine(of, p, answer.map?.colours?.[of])),
      ...(votes > 1 ? [element('p', `${answer.votes[answer.class]} of ${votes} networks decide ${answer.class}`)] : []),
      ...(shown ? [element('p', `colours: evidence for ${shown}`)] : []),
      ...Object.entries(answer.inputs ?? {}).map(([of, told]) => element('p', `${of}: ${told}`, 'quiet')),
    ], answer.map?.colours?.[shown]);
  }

  // Measured facts that go with an answer, a line each; no value is "not computed", and the note says why.
  function sheetCards(sheet) {
    if (!list(sheet).length) return [];
    const table = element('table');
    for (const line of sheet) {
      const row = element('tr');
      const number = typeof line.value === 'number' ? String(Number(line.value.toPrecision(3))) : line.value;
      const value = line.value === null ? 'not computed' : `${number} ${line.unit}`.trim();
      row.append(element('td', line.name), element('td', value, 'value'), element('td', line.note, 'quiet'));
      table.append(row);
    }
    const made = card([element('h4', 'Measured, without a network'), table]);
    made.className = 'sheet';
    return [made];
  }

  const CURVE = { width: 260, height: 150, left: 40, right: 8, top: 6, bottom: 34, step: [5, 10, 20, 50] };

  function drawn(kind, attributes, text) {
    const made = document.createElementNS('http://www.w3.org/2000/svg', kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // The dose-volume curve of the lesion that the sheet is of, with the isodose that its class is from.
  function doseVolumeCards(curve) {
    if (!list(curve?.dose).length) return [];
    const { width, height, left, right, top, bottom, step } = CURVE;
    const most = 1.04 * Math.max(...curve.dose, curve.isodose ?? 0, 1);
    const x = dose => (left + (dose / most) * (width - left - right)).toFixed(1);
    const y = share => (height - bottom - share * (height - top - bottom)).toFixed(1);
    const svg = drawn('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', fill: '#b5bccb', 'font-size': 10 });
    svg.setAttribute('aria-label', 'Dose-volume curve of the lesion');
    const line = (x1, y1, x2, y2, more) => svg.append(drawn('line', { x1, y1, x2, y2, stroke: '#39404f', ...more }));
    const label = (x, y, text, anchor) => svg.append(drawn('text', { x, y, 'text-anchor': anchor ?? 'middle' }, text));
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      line(x(0), y(share), x(most), y(share));
      label(left - 5, Number(y(share)) + 3, `${100 * share}`, 'end');
    }
    const every = step.find(one => most / one <= 8) ?? 100;
    for (let dose = 0; dose <= most; dose += every) {
      line(x(dose), y(0), x(dose), y(1));
      label(x(dose), height - bottom + 12, `${dose}`);
    }
    label((left + width - right) / 2, height - 7, `dose, ${curve.unit}`);
    svg.append(drawn('text', { transform: `translate(10 ${(height - bottom + top) / 2}) rotate(-90)`, 'text-anchor': 'middle' }, 'share of the lesion, %'));
    if (typeof curve.isodose === 'number') line(x(curve.isodose), y(0), x(curve.isodose), y(1), { stroke: '#fff', 'stroke-dasharray': '4 3' });
    const points = [...curve.dose.map((dose, i) => [dose, curve.share[i]]), [curve.dose.at(-1), 0]];
    const path = points.map(([dose, share]) => `${x(dose)},${y(share)}`).join(' ');
    svg.append(drawn('polyline', { points: path, fill: 'none', stroke: '#8fd3ff', 'stroke-width': 2 }));
    const isodose = typeof curve.isodose === 'number'
      ? `dashed: 95 % isodose, ${curve.isodose.toFixed(1)} ${curve.unit}`
      : 'no prescription, so no isodose';
    const made = card([element('h4', 'Dose to the lesion'), svg, element('p', isodose, 'quiet')]);
    made.className = 'curve';
    return [made];
  }

  const amount = (value, unit) => (typeof value === 'number' ? `${value.toFixed(unit === 'mm' ? 1 : 0)} ${unit}` : '?');

  // One set of response criteria: its category, the rule that fired, and what it compared.
  function criteriaCard(judged) {
    const share = judged.stability;
    const stable = `${judged.category} in ${Math.round(100 * share)} % of plausible contours`;
    const sums = [
      ['now', judged.sum, ''],
      ['baseline', judged.baseline_sum, judged.baseline_day],
      ['nadir', judged.nadir_sum, judged.nadir_day],
    ].filter(([, sum]) => typeof sum === 'number');
    const said = sums.map(([of, sum, day]) => `${of} ${amount(sum, judged.unit)}${day === '' ? '' : ` (day ${day})`}`);
    return card([
      element('h4', `${judged.criteria}: ${judged.category}`),
      element('p', judged.kind === judged.criteria ? 'with steroids and clinical state' : judged.kind, 'set'),
      ...lines([judged.rule, judged.confirmation].filter(Boolean)),
      ...lines(typeof share === 'number' ? [stable] : []),
      ...lines([said.join(' · ')], 'quiet'),
      ...lines(judged.remarks ? [judged.remarks] : [], 'warning'),
    ]);
  }

  // What published criteria say beside a network: volumes then and now with their dates, and each set of criteria.
  function ruleCards(rule) {
    if (!rule) return [];
    if (!rule.computed) return [card([element('h4', 'The rule: not computed'), ...lines([rule.why], 'warning')])];
    const { date, date_now, volume_mm3, volume_now_mm3, change_percent } = rule.earlier;
    const volume = value => `${(value / 1000).toFixed(2)} cm³`;
    const change = typeof change_percent === 'number' ? `${change_percent > 0 ? '+' : ''}${change_percent} %`.replace('-', '−') : '';
    const studies = list(rule.studies).map(one => `day ${one.day}: ${one.date}`).join(', ');
    return [card([
      element('h4', 'The rule, from the outlines'),
      ...lines(rule.disagreement ? [rule.disagreement] : [], 'warning'),
      element('p', `volume ${volume(volume_mm3)} on ${date}`),
      element('p', `volume ${volume(volume_now_mm3)} on ${date_now} (this study)`),
      ...lines(change ? [`change: ${change}`] : [], 'set'),
      ...lines(rule.warnings, 'warning'),
      ...lines(rule.notes, 'quiet'),
      element('p', studies, 'quiet'),
    ]), ...list(rule.criteria).map(criteriaCard)];
  }

  function measuredCard(answer) {
    const days = list(answer.studies).map(one => (one.days_before ? `day ${one.day}` : `day ${one.day} (this study)`));
    const rows = list(answer.measured).flatMap(one => {
      const name = element('p');
      const size = Math.max(LEAST_FIELD, FIELD * one.longest_mm);
      const zoom = () => window.pulsarZoomTo(one.location_mm, size);
      name.append(button(`lesion ${one.lesion}`, 'Zoom to this lesion', zoom));
      const lengths = `${one.longest_mm.toFixed(1)} × ${one.perpendicular_mm.toFixed(1)} mm`;
      const change = one.change?.rano_bm_style ? [`RANO-BM-style change: ${one.change.rano_bm_style}`] : [];
      return [
        name,
        element('p', `${lengths} · ${amount(one.product_mm2, 'mm²')} · ${(one.volume_mm3 / 1000).toFixed(2)} cm³`),
        ...lines(change, 'quiet'),
      ];
    });
    const compared = element('p', `studies: ${days.join(', ')}`, 'quiet');
    return card([element('h4', 'Measured on the outlines'), ...rows, compared]);
  }

  function measuredLegend(answer) {
    const names = Object.keys(answer.label_names ?? {});
    return [element('h4', 'Lesions as outlined'), ...names.map(text => {
      const row = ramp([text]);
      row.append(` ${text}`);
      return row;
    })];
  }

  function notes(answer, found, hint) {
    const parts = [
      ...lines(hint ? [hint] : [], 'set'),
      // With lesions, the message says what stands beside it once more.
      ...lines(answer.message && !found.length ? [answer.message] : [], 'warning'),
      ...lines(list(answer.warnings).filter(text => text !== answer.rule?.disagreement), 'warning'),
      ...list(answer.listed).map(item => element('p', `Listed, not predicted: ${item.roi} (${item.why})`, 'quiet')),
      ...lines(answer.notes, 'quiet'),
      ...list(answer.stored).map(item => element('p', `Stored in the PACS: ${item.description ?? item.kind}`)),
      element('p', answer.notice, 'quiet'),
    ];
    return card(parts);
  }

  function showModel(model, asked) {
    const weights = String(model?.sha256 ?? '').slice(0, 12);
    modelName.textContent = `answered by ${model?.name ?? asked}${weights ? `, model ${weights}` : ''}`;
  }

  // Cards and legend by what was answered: measured response, a case as a whole, or lesion by lesion.
  function partsOf(answer) {
    if (answer.criteria) {
      const cards = [...answer.criteria.map(criteriaCard), measuredCard(answer)];
      return { cards, colours: measuredLegend(answer) };
    }
    if (answer.probabilities) {
      const map = { ...answer.map, variant: answer.map.explanation };
      const more = [...ruleCards(answer.rule), ...sheetCards(answer.sheet), ...doseVolumeCards(answer.dose_volume)];
      return { cards: [caseCard(answer), ...more], colours: legendParts(map, [map.shown_class]) };
    }
    const found = list(answer.lesions);
    const shown = found.map(lesion => lesion.shown_class).filter(Boolean);
    const cards = found.map(lesion => lesionCard(lesion, answer.cam?.colours));
    return { cards, colours: legendParts(answer.cam, [...new Set(shown)]) };
  }

  window.pulsarPanel = {
    show(answer, asked, hint) {
      build();
      const { cards, colours } = partsOf(answer);
      showModel(answer.model, asked);
      window.pulsarNotice(answer.notice);
      legend.replaceChildren(...colours);
      lesions.replaceChildren(...cards, notes(answer, cards, hint));
    },
    showOffer(notOffered) {
      build();
      const parts = Object.entries(notOffered ?? {}).map(([model, why]) => `${model} is not listed here. ${why}`);
      if (parts.length) lesions.replaceChildren(card([...lines([HINT], 'quiet'), ...lines(parts, 'warning')]));
    },
    showJob(told, stop) {
      build();
      modelName.textContent = '';
      legend.replaceChildren();
      const stage = told.stage ? `${told.stage}, ${Math.round(100 * told.share)} %` : 'waiting for other jobs';
      const parts = lines([`${told.model} works on it: ${stage} (${Math.round(told.seconds)} s so far).`]);
      lesions.replaceChildren(card([...parts, button('stop', 'Stop this job', stop)]));
    },
    showProblem(text) {
      build();
      modelName.textContent = '';
      legend.replaceChildren();
      lesions.replaceChildren(card(lines([text], 'warning')));
    },
  };

  // Not over the list of studies, which predicts nothing.
  if (location.pathname.endsWith('/monai-label')) build();
})();
