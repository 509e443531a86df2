/**
 * What a page owes its readers, as lists of complaints: run inside the page, where the real
 * computed styles and boxes are. The text of this file is evaluated there (`pageComplaints.ts`).
 */
/* global document, getComputedStyle, innerWidth, CSS */

const READ = 4.5;
const LEAST_BUTTON = 24;

/** Shown, and not only for screen readers. */
function isSeen(element) {
  if (!element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true })) {
    return false;
  }
  const { width, height } = element.getBoundingClientRect();
  if (width < 2 || height < 2) return false;
  for (let each = element; each !== null; each = each.parentElement) {
    const { clipPath, position } = getComputedStyle(each);
    if (position === 'absolute' && clipPath !== 'none') return false;
  }
  return true;
}

function nameOf(element) {
  const words = (element.textContent ?? '').trim().replace(/\s+/g, ' ').slice(0, 40);
  const marks = element.id === '' ? element.getAttribute('class') : `#${element.id}`;
  return `${element.tagName.toLowerCase()} ${marks ?? ''} “${words}”`;
}

/** `rgb(1 2 3 / 0.5)` in any of its spellings, as four numbers of 0 to 255 and an alpha. */
function colourOf(text) {
  const numbers = text.match(/[\d.]+%?/g) ?? [];
  const [red = 0, green = 0, blue = 0, alpha = 1] = numbers.map((each) =>
    each.endsWith('%') ? Number.parseFloat(each) / 100 : Number(each),
  );
  const scale = text.startsWith('color(') ? 255 : 1;
  return { red: red * scale, green: green * scale, blue: blue * scale, alpha };
}

function over(top, below) {
  const mix = (key) => top[key] * top.alpha + below[key] * (1 - top.alpha);
  return { red: mix('red'), green: mix('green'), blue: mix('blue'), alpha: 1 };
}

function luminance({ red, green, blue }) {
  const linear = (value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

function ratio(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** What lies behind an element's text: the grounds of all around it, the nearest on top. */
function groundOf(element) {
  const grounds = [];
  for (let each = element; each !== null; each = each.parentElement) {
    const ground = colourOf(getComputedStyle(each).backgroundColor);
    if (ground.alpha > 0) grounds.push(ground);
    if (ground.alpha === 1) break;
  }
  const white = { red: 255, green: 255, blue: 255, alpha: 1 };
  return grounds.reduceRight((below, top) => over(top, below), white);
}

function opacityOf(element) {
  let opacity = 1;
  for (let each = element; each !== null; each = each.parentElement) {
    opacity *= Number(getComputedStyle(each).opacity);
  }
  return opacity;
}

function contrastComplaint(element, text, style) {
  const ground = groundOf(element);
  const ink = colourOf(element instanceof SVGElement ? style.fill : style.color);
  const shown = over({ ...ink, alpha: ink.alpha * opacityOf(element) }, ground);
  const found = ratio(shown, ground);
  return found >= READ ? [] : [`${found.toFixed(2)} to 1: ${nameOf(element)}: ${text}`];
}

/** Words whose colour is too near to their ground. */
function contrast() {
  const complaints = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const element = node.parentElement;
    const text = node.data.trim();
    if (text === '' || element === null || /^(?:SCRIPT|STYLE|NOSCRIPT)$/.test(element.tagName)) {
      continue;
    }
    // A title is told and not drawn; what a closed list holds is the system's to draw.
    if (/^(?:title|option)$/i.test(element.tagName) || !isSeen(element)) continue;
    complaints.push(...contrastComplaint(element, text, getComputedStyle(element)));
  }
  for (const field of document.querySelectorAll('input, select, textarea')) {
    // Sliders, boxes to tick and their like hold no words.
    if (!isSeen(field) || /^(?:checkbox|radio|range|file|color)$/.test(field.type)) continue;
    complaints.push(...contrastComplaint(field, 'its value', getComputedStyle(field)));
    if (!field.placeholder) continue;
    const style = getComputedStyle(field, '::placeholder');
    complaints.push(...contrastComplaint(field, field.placeholder, style));
  }
  return [...new Set(complaints)];
}

function spokenName(element) {
  const ids = (element.getAttribute('aria-labelledby') ?? '').split(' ').filter(Boolean);
  const parts = [
    element.getAttribute('aria-label') ?? '',
    ...ids.map((id) => document.getElementById(id)?.textContent ?? ''),
    ...[...(element.labels ?? [])].map((label) => label.textContent ?? ''),
  ];
  return parts.join(' ').trim();
}

/** Fields and buttons that a screen reader could not name, and what is named twice. */
function names() {
  const fields = [...document.querySelectorAll('input, select, textarea, [role=slider]')]
    .filter((field) => field.type !== 'hidden' && spokenName(field) === '')
    .map((field) => `a field without a label: ${nameOf(field)}`);
  const pressed = [...document.querySelectorAll('button, a[href], summary')]
    .filter((each) => `${each.textContent}${spokenName(each)}`.trim() === '')
    .map((each) => `nothing says what it does: ${nameOf(each)}`);
  const images = [...document.querySelectorAll('img, svg, [role=img]')]
    .filter((each) => each.closest('[aria-hidden=true]') === null)
    .filter((each) => spokenName(each) === '' && (each.getAttribute('alt') ?? '') === '')
    .map((each) => `an image without words: ${nameOf(each)}`);
  const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
  const twice = ids.filter((id, index) => ids.indexOf(id) < index).map((id) => `#${id} is twice`);
  const broken = ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for'].flatMap((key) =>
    [...document.querySelectorAll(`[${key}]`)].flatMap((each) =>
      (each.getAttribute(key) ?? '')
        .split(' ')
        .filter((id) => id !== '' && document.getElementById(id) === null)
        .map((id) => `${key} of ${nameOf(each)} names #${id}, which is not`),
    ),
  );
  return [...fields, ...pressed, ...images, ...twice, ...broken];
}

/** The frame: one heading of the first order, landmarks, headings in order. */
function frame() {
  const count = (selector) => document.querySelectorAll(selector).length;
  const wrong = [
    ['h1', 1],
    ['main', 1],
    // Those inside an article or a section are no landmarks.
    ['header:not(main header)', 1],
    ['nav[aria-label]', 1],
    ['nav a[aria-current=page]', 1],
  ].filter(([selector, wanted]) => count(selector) !== wanted);
  const levels = [...document.querySelectorAll('h1, h2, h3, h4')].filter(isSeen);
  const jumps = levels.filter((heading, index) => {
    const before = levels[index - 1];
    return Number(heading.tagName[1]) > Number(before?.tagName[1] ?? 0) + 1;
  });
  return [
    ...wrong.map(([selector]) => `${count(selector)} times ${selector}`),
    ...jumps.map((heading) => `a heading skips a level: ${nameOf(heading)}`),
  ];
}

/** Canvases say in words what they show: a name, and a table or a line that speaks of it. */
function pictures() {
  return [...document.querySelectorAll('canvas')].filter(isSeen).flatMap((canvas) => {
    const named = canvas.closest('[aria-label]');
    const about = (canvas.getAttribute('aria-describedby') ?? '').split(' ').filter(Boolean);
    const told = about.some((id) => document.getElementById(id) !== null);
    const hasTable = document.querySelector('main table tbody tr') !== null;
    const hasNumbers = /\d/.test(named?.getAttribute('aria-label') ?? '');
    if (named === null) return [`a canvas without a name: ${nameOf(canvas)}`];
    return (told || hasNumbers) && hasTable ? [] : [`a canvas without facts: ${nameOf(named)}`];
  });
}

/** Buttons and their like that a finger misses; words within a line of text are no buttons. */
function targets() {
  return [...document.querySelectorAll('button, summary, select, input, nav a')]
    .filter((each) => isSeen(each) && !/^(?:checkbox|radio)$/.test(each.type ?? ''))
    .filter((each) => {
      const { width, height } = each.getBoundingClientRect();
      return width < LEAST_BUTTON - 0.01 || height < LEAST_BUTTON - 0.01;
    })
    .map((each) => {
      const { width, height } = each.getBoundingClientRect();
      return `${width.toFixed(1)} × ${height.toFixed(1)}: ${nameOf(each)}`;
    });
}

/** Whether the page itself would scroll sideways, and by what. */
function sideways() {
  const { scrollWidth } = document.documentElement;
  if (scrollWidth <= innerWidth) return [];
  const isHeld = (element) => {
    for (let each = element.parentElement; each !== null; each = each.parentElement) {
      if (getComputedStyle(each).overflowX !== 'visible') return true;
    }
    return false;
  };
  const wide = [...document.body.querySelectorAll('*')].filter(
    (each) => each.getBoundingClientRect().right > innerWidth + 1 && !isHeld(each),
  );
  return [`${scrollWidth} px of ${innerWidth}`, ...wide.slice(0, 5).map(nameOf)];
}

/** Slots that nothing filled, and values that are none. */
function words() {
  const text = document.body.innerText;
  const found = text.match(/\{\w+\}|undefined|\bNaN\b|\[object \w+\]|\bInfinity\b/g) ?? [];
  return [...new Set(found)].map((each) => `the page says ${each}`);
}

globalThis.pageChecks = { contrast, names, frame, pictures, targets, sideways, words };
