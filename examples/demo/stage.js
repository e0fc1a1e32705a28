const $ = (selector, within = document) => within.querySelector(selector);
const put = (id, text) => { const at = $('#' + id); if (at.textContent !== text) at.textContent = text; };
const names = { 'session-mint': 'Session tokens', handshake: 'Handshake', 'backend-api': 'Backend API', jwks: 'Signing keys', 'status-page': 'Status page' };
const verdicts = {
  unknown: 'Nothing is known yet.',
  healthy: 'Expired tokens are refused, as always.',
  suspect: 'Something fails. It is being found out.',
  outage: 'Proven: live sessions go on.',
  recovering: 'Clerk is back. Grace ends session by session.',
  isolated: 'Our own network seems to be cut off.',
};
const now = { '200': 'served', '200g': 'served, in grace', '503': 'told to wait', '401': 'signed out', '307': 'sent away to Clerk', '···': 'left without an answer' };
const lanes = [...document.querySelectorAll('.lane')];
const buttons = [...document.querySelectorAll('[data-scene]')];
const times = n => n === 1 ? 'once' : n + ' times';
const span = s => s < 60 ? s + ' s' : Math.floor(s / 60) + ' min ' + (s % 60) + ' s';

for (const strip of document.querySelectorAll('.strip'))
  strip.append(...Array.from({ length: 60 }, () => document.createElement('i')));

function lane(at, report, place) {
  const seen = report.beats.map(beat => beat.outcomes[place]);
  const cells = $('.strip', at).children, first = cells.length - seen.length;
  for (let i = 0; i < cells.length; i++) {
    const beat = report.beats[i - first], outcome = beat && seen[i - first];
    cells[i].className = !beat ? '' : outcome === '···' ? 'oslow' : outcome ? 'o' + outcome : i < cells.length - 2 ? 'oslow' : '';
    cells[i].title = beat ? beat.kind + ': ' + (outcome || 'no answer yet') : '';
  }
  const told = seen.filter(Boolean), last = told.at(-1);
  const served = told.filter(outcome => outcome.startsWith('200')).length;
  $('.now', at).textContent = now[last] || last || '';
  $('.count', at).textContent = served + ' of the last ' + told.length + ' requests served. Clerk was asked ' + times(report.asked[place]) + ' so far.' + (place === 0 && report.lives ? ' Restarted ' + times(report.lives) + '.' : '');
}

function surfaces(checks) {
  const rows = Object.entries(names).map(([key, name]) => {
    const check = (checks['clerk:' + key] || [{}])[0], state = check.state || 'unknown';
    const row = document.createElement('tr');
    row.className = state;
    const latency = check.observedValue == null || state === 'down' ? '' : check.observedValue + ' ms';
    for (const [text, cls] of [[name], [state], [latency, 'latency'], [check.output || '']]) {
      const cell = row.insertCell();
      cell.textContent = text;
      if (cls) cell.className = cls;
    }
    const dot = document.createElement('span');
    dot.className = 'dot';
    row.cells[0].prepend(dot);
    return row;
  });
  $('#surfaces').replaceChildren(...rows);
}

function show(report) {
  const scene = report.scene, button = scene && buttons.find(b => b.dataset.scene === scene.id);
  put('clerk', button ? button.textContent : 'Works');
  put('clerk-detail', scene ? 'broken for ' + span(scene.for) : 'Break it below.');
  put('verdict', report.verdict[0].toUpperCase() + report.verdict.slice(1));
  put('verdict-detail', verdicts[report.verdict] || '');
  const left = report.tokenLeft;
  put('token', left >= 0 ? 'expires in ' + left + ' s' : 'expired ' + span(-left) + ' ago');
  put('token-detail', left >= 0 ? (left > 17 ? 'Her browser renews it in ' + (left - 17) + ' s.' : 'Her browser tries to renew it.') : 'Her browser keeps trying.');
  lanes.forEach((at, place) => lane(at, report, place));
  for (const b of buttons) b.setAttribute('aria-pressed', b === button);
  $('#heal').className = scene ? 'wanted' : '';
  if (button) put('hint', button.dataset.hint);
  surfaces((report.health && report.health.checks) || {});
}

async function look() {
  try {
    show(await (await fetch('stage/report')).json());
  } catch {
    put('clerk-detail', 'The demo has ended; start it again and reload.');
  }
}

const tell = path => fetch(path, { method: 'POST' }).then(look);
for (const b of buttons) b.addEventListener('click', () => tell('stage/scene/' + b.dataset.scene));
$('#heal').addEventListener('click', () => { put('hint', 'Clerk is back. Open tabs renew their tokens within 50 s; grace goes on until then.'); tell('stage/heal'); });
$('#restart').addEventListener('click', () => tell('stage/restart'));
look();
setInterval(look, 1000);
