// As much SIP over WebSocket (RFC 7118) as a phone needs that has one call at a time: messages, and what belongs to a
// transaction. A WebSocket loses nothing, so nothing is repeated but the 200 of an INVITE, and that by the other side.

import { authorization } from "./digest.js";

export const token = (n = 10) => Array.from(crypto.getRandomValues(new Uint8Array(n)), (b) => (b % 36).toString(36)).join("");

const shortNames = { v: "via", f: "from", t: "to", i: "call-id", m: "contact", l: "content-length", c: "content-type", k: "supported" };

// Message is a request or a response; headers are kept in order.
export class Message {
  constructor(start, headers = [], body = "") {
    Object.assign(this, { start, headers, body });
  }
  static parse(text) {
    const end = text.indexOf("\r\n\r\n");
    const [start, ...lines] = text.slice(0, end).replace(/\r\n[ \t]+/g, " ").split("\r\n");
    const headers = lines.map((l) => [l.slice(0, l.indexOf(":")).trim(), l.slice(l.indexOf(":") + 1).trim()]);
    return new Message(start, headers, text.slice(end + 4));
  }
  all(name) {
    return this.headers.filter(([n]) => (shortNames[n.toLowerCase()] ?? n.toLowerCase()) === name.toLowerCase()).map(([, v]) => v);
  }
  get(name) {
    return this.all(name)[0] ?? "";
  }
  get status() {
    return this.start.startsWith("SIP/2.0 ") ? Number(this.start.split(" ")[1]) : 0;
  }
  get method() {
    return this.status ? this.get("CSeq").split(" ")[1] : this.start.split(" ")[0];
  }
  get number() {
    return Number(this.get("CSeq").split(" ")[0]);
  }
  toString() {
    const length = new TextEncoder().encode(this.body).length;
    return [this.start, ...this.headers.map(([n, v]) => `${n}: ${v}`), `Content-Length: ${length}`, "", this.body].join("\r\n");
  }
  // reply makes a response to this request.
  reply(status, reason, tag, more = [], body = "") {
    const keep = this.headers.filter(([n]) => ["via", "v", "from", "f", "call-id", "i", "cseq", "record-route"].includes(n.toLowerCase()));
    let to = this.get("To");
    if (tag && !/;tag=/.test(to)) to += `;tag=${tag}`;
    return new Message(`SIP/2.0 ${status} ${reason}`, [...keep, ["To", to], ...more], body);
  }
}

export const uriOf = (address) => /<([^>]+)>/.exec(address)?.[1] ?? address.split(";")[0].trim();

// Line is the connection to the platform, and what an account needs.
export class Line {
  constructor({ url, user, password, domain, algorithm }, onRequest, log) {
    Object.assign(this, { url, user, password, domain, algorithm, onRequest, log });
    this.host = `${token()}.invalid`; // RFC 7118 §5: a browser does not know its own address
    this.contact = `<sip:${user}@${this.host};transport=ws>`;
    this.aor = `<sip:${user}@${domain}>`;
    this.waiting = new Map(); // by branch: what to do with responses
  }
  open() {
    return new Promise((resolve, reject) => {
      this.socket = new WebSocket(this.url, "sip");
      this.socket.onopen = () => resolve();
      this.socket.onerror = () => reject(new Error(`no connection to ${this.url}`));
      this.socket.onclose = () => this.log("closed");
      this.socket.onmessage = ({ data }) => this.receive(data);
    });
  }
  receive(data) {
    if (!data.trim()) return; // keep-alive
    const m = Message.parse(data);
    this.log(`< ${m.start} ${m.get("CSeq")}`);
    if (!m.status) return this.onRequest(m);
    const branch = /;branch=([^;\s,]+)/.exec(m.get("Via"))?.[1];
    this.waiting.get(branch)?.(m);
  }
  send(m) {
    this.log(`> ${m.start} ${m.get("CSeq")}`);
    this.socket.send(m.toString());
  }
  build(method, uri, headers, body = "", branch = `z9hG4bK${token()}`) {
    const m = new Message(`${method} ${uri} SIP/2.0`, [["Via", `SIP/2.0/WSS ${this.host};branch=${branch}`], ["Max-Forwards", "70"], ...headers], body);
    m.branch = branch;
    return m;
  }
  // ask sends a request and returns its final response; provisional ones go to progress.
  ask(m, progress = () => {}) {
    return new Promise((resolve) => {
      this.waiting.set(m.branch, (response) => {
        if (response.status < 200) return progress(response);
        if (m.method === "INVITE" && response.status >= 300) this.send(this.ackOf(m, response));
        resolve(response);
      });
      this.send(m);
    });
  }
  // ackOf is the ACK of a refusal, which is part of the INVITE's transaction (RFC 3261 §17.1.1.3).
  ackOf(invite, response) {
    const headers = [["From", invite.get("From")], ["To", response.get("To")], ["Call-ID", invite.get("Call-ID")], ["CSeq", `${invite.number} ACK`],
      ...invite.all("Route").map((r) => ["Route", r])];
    return this.build("ACK", invite.start.split(" ")[1], headers, "", invite.branch);
  }
  // askProven is ask with credentials when they are asked for.
  async askProven(method, uri, headers, body, progress) {
    let number = 1;
    const request = (more) => this.build(method, uri, [...headers, ["CSeq", `${number++} ${method}`], ...more], body);
    const sent = request([]);
    const first = await this.ask(sent, progress);
    if (first.status !== 401 && first.status !== 407) return { response: first, request: sent };
    const [asks, answers] = first.status === 401 ? ["WWW-Authenticate", "Authorization"] : ["Proxy-Authenticate", "Proxy-Authorization"];
    const proof = await authorization(first.all(asks), this.algorithm, { user: this.user, password: this.password, method, uri });
    const again = request([[answers, proof]]);
    return { response: await this.ask(again, progress), request: again };
  }
  async register() {
    const { response } = await this.askProven("REGISTER", `sip:${this.domain}`,
      [["From", `${this.aor};tag=${token()}`], ["To", this.aor], ["Call-ID", token(16)], ["Contact", `${this.contact};expires=600`]], "");
    if (response.status !== 200) throw new Error(`REGISTER: ${response.start}`);
  }
}
