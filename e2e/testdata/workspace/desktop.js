// A desktop of an agent without a screen: it signs in, takes a device, does what lines on its input say, and prints what it
// is told. The public client library does the talking.
const readline = require('readline');
const Workspace = require('genesys-workspace-client-js');

const { BASE, USERNAME, PASSWORD, DN } = process.env;
const say = (...words) => console.log(words.join(' '));

// failed prints why a request came to nothing: the number and the sentence that the server gave.
function failed(what, err) {
  const status = err.response && err.response.body && err.response.body.status;
  say('refused', what, status ? `${status.code} ${status.message}` : err);
}

async function token() {
  const res = await fetch(`${BASE}/auth/v3/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'password', username: USERNAME, password: PASSWORD }),
  });
  if (!res.ok) {
    throw new Error(`token: ${res.status} ${await res.text()}`);
  }
  return (await res.json()).access_token;
}

async function main() {
  const desk = new Workspace('', BASE, false);
  await desk.initialize({ token: await token() });
  say('initialized', desk.user.userName, desk.user.agentLogin);
  desk.on('CallStateChanged', ({ call, notificationType }) => {
    const others = call.participants.map((p) => p.number).join('+');
    const data = call.userData.map((p) => `${p.key}=${p.value}`).join(',');
    say('call', call.id, notificationType, call.state, call.callType, others, data, call.parentConnId ? `parent ${call.parentConnId}` : '');
  });
  desk.on('DnStateChanged', ({ dn }) => say('dn', dn.number, dn.activity));
  await desk.activateChannels(null, DN || null);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [verb, ...args] = line.split(' ');
    if (verb === 'quit') {
      await desk.destroy();
      process.stdin.destroy(); // nothing more is read, so that the end is up to the library
      break;
    }
    try {
      await desk.voice[verb](...args.map((a) => (a.startsWith('[') ? JSON.parse(a) : a)));
      say('accepted', verb);
    } catch (err) {
      failed(verb, err);
    }
  }
}

main().catch((err) => {
  failed('to begin', err);
  process.exitCode = 1;
});
