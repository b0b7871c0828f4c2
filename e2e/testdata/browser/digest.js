// Digest authentication (RFC 7616, RFC 8760): an Authorization for a challenge.

const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

const hashes = {
  "MD5": async (text) => md5(text),
  "SHA-256": async (text) => hex(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)))),
};

// challengeOf reads the parameters of one WWW-Authenticate or Proxy-Authenticate.
export function challengeOf(value) {
  const found = { algorithm: "MD5" };
  for (const [, name, quoted, plain] of value.matchAll(/(\w+)=(?:"([^"]*)"|([^\s,]+))/g)) found[name.toLowerCase()] = quoted ?? plain;
  return found;
}

// authorization answers the challenge that is of the wanted algorithm.
export async function authorization(challenges, wanted, { user, password, method, uri }) {
  const c = challenges.map(challengeOf).find((c) => c.algorithm.toUpperCase() === wanted);
  if (!c) throw new Error(`no challenge for ${wanted} among: ${challenges.join(" | ")}`);
  const hash = hashes[wanted];
  const cnonce = hex(crypto.getRandomValues(new Uint8Array(8))), nc = "00000001";
  const ha1 = await hash(`${user}:${c.realm}:${password}`), ha2 = await hash(`${method}:${uri}`);
  const response = await hash(c.qop ? `${ha1}:${c.nonce}:${nc}:${cnonce}:auth:${ha2}` : `${ha1}:${c.nonce}:${ha2}`);
  let out = `Digest username="${user}", realm="${c.realm}", nonce="${c.nonce}", uri="${uri}", response="${response}", algorithm=${wanted}`;
  if (c.qop) out += `, qop=auth, nc=${nc}, cnonce="${cnonce}"`;
  if (c.opaque !== undefined) out += `, opaque="${c.opaque}"`;
  return out;
}

// md5 is RFC 1321; browsers have no other.
function md5(text) {
  const bytes = new TextEncoder().encode(text), words = new Uint32Array((((bytes.length + 8) >> 6) + 1) * 16);
  bytes.forEach((b, i) => (words[i >> 2] |= b << (8 * (i % 4))));
  words[bytes.length >> 2] |= 0x80 << (8 * (bytes.length % 4));
  words[words.length - 2] = bytes.length * 8;
  const shifts = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
  const sines = Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));
  const places = [(i) => i, (i) => 5 * i + 1, (i) => 3 * i + 5, (i) => 7 * i];
  const mixes = [(b, c, d) => (b & c) | (~b & d), (b, c, d) => (d & b) | (~d & c), (b, c, d) => b ^ c ^ d, (b, c, d) => c ^ (b | ~d)];
  const state = new Uint32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]);
  for (let at = 0; at < words.length; at += 16) {
    let [a, b, c, d] = state;
    for (let i = 0; i < 64; i++) {
      const round = i >> 4, sum = (a + mixes[round](b, c, d) + sines[i] + words[at + (places[round](i) % 16)]) | 0, by = shifts[round][i % 4];
      [a, d, c, b] = [d, c, b, (b + ((sum << by) | (sum >>> (32 - by)))) | 0];
    }
    state.set([state[0] + a, state[1] + b, state[2] + c, state[3] + d]);
  }
  return hex(new Uint8Array(state.buffer));
}
