// A browser phone: a call at a time, a tone instead of a microphone, and an ear that tells which tone it hears.

import { Line, token, uriOf } from "./sip.js";

export class Phone {
  constructor() {
    this.lines = [];
    this.become("loaded");
  }
  become(state) {
    this.state = state;
    document.getElementById("state").textContent = state;
  }
  log(text) {
    this.lines.push(text);
    document.getElementById("log").textContent = this.lines.join("\n");
  }
  fail(error) {
    this.log(String(error?.stack ?? error));
    this.become(`failed: ${error}`);
  }

  // start registers the account and answers calls that come; tone is what is said in them.
  async start(account) {
    try {
      this.tone = account.tone;
      this.hides = account.hides;
      this.line = new Line(account, (m) => this.request(m).catch((e) => this.fail(e)), (text) => this.log(text));
      await this.line.open();
      await this.line.register();
      this.become("registered");
    } catch (e) {
      this.fail(e);
    }
  }

  // media makes the WebRTC half of a call.
  media() {
    this.context = new AudioContext();
    const voice = this.context.createOscillator(), volume = this.context.createGain(), mouth = this.context.createMediaStreamDestination();
    voice.frequency.value = this.tone;
    volume.gain.value = 0.3;
    voice.connect(volume).connect(mouth);
    voice.start();
    this.connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" });
    this.connection.onconnectionstatechange = () => this.log(`media ${this.connection.connectionState}`);
    this.connection.ontrack = ({ track, streams }) => this.listen(streams[0] ?? new MediaStream([track]));
    for (const track of mouth.stream.getTracks()) this.connection.addTrack(track, mouth.stream);
  }
  listen(stream) {
    const far = document.getElementById("far"); // a stream that nothing plays is not decoded
    far.srcObject = stream;
    far.play().catch((e) => this.log(String(e)));
    this.ear = this.context.createAnalyser();
    this.ear.fftSize = 8192;
    this.ear.smoothingTimeConstant = 0;
    this.context.createMediaStreamSource(stream).connect(this.ear);
  }
  // hears is the strongest frequency in Hz and its level in dB.
  hears() {
    if (!this.ear) return { hz: 0, level: -200 };
    const bins = new Float32Array(this.ear.frequencyBinCount);
    this.ear.getFloatFrequencyData(bins);
    let best = 0;
    bins.forEach((level, i) => (best = level > bins[best] ? i : best));
    return { hz: Math.round((best * this.context.sampleRate) / this.ear.fftSize), level: Number.isFinite(bins[best]) ? bins[best] : -200 };
  }
  // figures is what the browser itself counted of the call's audio.
  async figures() {
    const out = {};
    for (const r of (await this.connection.getStats()).values()) {
      if (r.type === "inbound-rtp") Object.assign(out, { received: r.packetsReceived, lost: r.packetsLost });
      if (r.type === "outbound-rtp") out.sent = r.packetsSent;
      if (r.type === "remote-inbound-rtp") Object.assign(out, { reported: true, lostThere: r.packetsLost });
      if (r.type === "transport") Object.assign(out, { cipher: r.srtpCipher, dtls: r.dtlsState, role: r.iceRole });
      if (r.type === "codec") out.codec = r.mimeType;
    }
    return out;
  }
  // describe waits for all candidates, since they go into the description.
  async describe(description) {
    await this.connection.setLocalDescription(description);
    if (this.connection.iceGatheringState !== "complete")
      await new Promise((done) => (this.connection.onicegatheringstatechange = () => this.connection.iceGatheringState === "complete" && done()));
    const sdp = this.connection.localDescription.sdp;
    return this.hides ? hidden(sdp) : sdp;
  }

  async call(number) {
    try {
      this.become("calling");
      this.media();
      const sdp = await this.describe(await this.connection.createOffer());
      const { line } = this, uri = `sip:${number}@${line.domain}`, from = `${line.aor};tag=${token()}`, id = token(16);
      const { response, request } = await line.askProven("INVITE", uri,
        [["From", from], ["To", `<${uri}>`], ["Call-ID", id], ["Contact", line.contact], ["Content-Type", "application/sdp"], ["Allow", "INVITE, ACK, BYE, CANCEL"]], sdp,
        (p) => p.status === 180 && this.become("ringing"));
      if (response.status !== 200) throw new Error(`INVITE: ${response.start}`);
      this.dialog = { id, from, to: response.get("To"), target: uriOf(response.get("Contact")), route: response.all("Record-Route").reverse(), number: request.number };
      line.send(this.within("ACK", request.number));
      this.answer = response.body;
      await this.connection.setRemoteDescription({ type: "answer", sdp: response.body });
      this.become("talking");
    } catch (e) {
      this.fail(e);
    }
  }
  // within makes a request of the dialog.
  within(method, number) {
    const d = this.dialog;
    return this.line.build(method, d.target, [["From", d.from], ["To", d.to], ["Call-ID", d.id], ["CSeq", `${number} ${method}`], ...d.route.map((r) => ["Route", r]), ["Contact", this.line.contact]]);
  }
  async hangUp() {
    await this.line.ask(this.within("BYE", ++this.dialog.number));
    this.over();
  }
  over() {
    this.connection?.close();
    this.context?.close();
    this.connection = this.context = this.ear = this.dialog = undefined;
    this.become("over");
  }

  // request handles what the platform asks.
  async request(m) {
    switch (m.method) {
      case "INVITE":
        return this.invited(m);
      case "ACK":
        return this.dialog && this.state === "answering" && this.become("talking");
      case "BYE":
        this.line.send(m.reply(200, "OK"));
        return this.over();
      case "CANCEL":
        this.line.send(m.reply(200, "OK"));
        return this.over();
      default:
        return this.line.send(m.reply(m.method === "OPTIONS" ? 200 : 501, m.method === "OPTIONS" ? "OK" : "Not Implemented", token()));
    }
  }
  async invited(m) {
    const accept = () => [["Contact", this.line.contact], ["Content-Type", "application/sdp"], ["Allow", "INVITE, ACK, BYE, CANCEL"]];
    if (this.dialog) { // again, in the call
      await this.connection.setRemoteDescription({ type: "offer", sdp: m.body });
      const sdp = await this.describe(await this.connection.createAnswer());
      return this.line.send(m.reply(200, "OK", "", accept(), sdp));
    }
    const tag = token();
    this.line.send(m.reply(180, "Ringing", tag, [["Contact", this.line.contact]]));
    this.become("rung");
    this.offer = m.body;
    this.media();
    await this.connection.setRemoteDescription({ type: "offer", sdp: m.body });
    const sdp = await this.describe(await this.connection.createAnswer());
    const answer = m.reply(200, "OK", tag, accept(), sdp);
    this.dialog = { id: m.get("Call-ID"), from: answer.get("To"), to: m.get("From"), target: uriOf(m.get("Contact")), route: m.all("Record-Route"), number: 0 };
    this.become("answering");
    this.line.send(answer);
  }
}

// hidden is a description that does not tell where the browser is, as that of a page that may not use a microphone: of such a
// page's addresses only names of multicast DNS are told, which mean nothing to a server.
const hidden = (sdp) => sdp.replace(/^m=audio \d+/m, "m=audio 9").replace(/^c=.*$/m, "c=IN IP4 0.0.0.0").replace(/^a=candidate:(\S+ \d \S+ \d+) \S+/gm, "a=candidate:$1 b3c9d7c4-0000-4000-8000-5f0a2f6f0a11.local");
