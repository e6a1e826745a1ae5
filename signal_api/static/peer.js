// One member and the connection to it: perfect negotiation, trickle ICE, a data channel, restarts.

import { outcomeOf, statsOf, told } from "./outcome.js";

const RESTART_AFTER = 2_000; // ms between a failure and the attempt to go another way

// The session id of the o= line (RFC 8866 section 5.2): each RTCPeerConnection has its own and keeps it.
export const sessionOf = (description) => /^o=\S+ (\S+)/m.exec(description?.sdp ?? "")?.[1] ?? null;

export class Peer extends EventTarget {
  #send; #local; #making = false; #ignoring = false; #queue = Promise.resolve(); #restart = 0;
  #since = performance.now(); #outcome = null;
  channel = null; path = null; problem = null; theirs = null;

  // `polite` is the member with the larger order; it also makes the first offer, and the other waits for that.
  constructor({ member, polite, configuration, stream, send }) {
    super();
    this.member = member;
    this.polite = polite;
    this.#send = send;
    this.stream = new MediaStream();
    const pc = this.pc = new RTCPeerConnection(configuration);
    pc.onnegotiationneeded = () => this.#offer();
    pc.onicecandidate = ({ candidate }) => send("candidate", candidate ? candidate.toJSON() : null);
    pc.onicecandidateerror = (event) => { this.problem = event; this.#tell("trouble", event); };
    pc.ontrack = ({ track }) => { this.stream.addTrack(track); this.#tell("track"); };
    pc.onconnectionstatechange = () => this.#changed();
    this.#local = stream;
    if (polite) this.#begin();
  }

  // Frames of one member are handled one after the other.
  receive(frame) {
    this.#queue = this.#queue.then(() => this.#handle(frame)).catch((error) => {
      if (this.pc.signalingState !== "closed") console.warn("frame not applied", frame.type, error);
    });
  }

  // Fresh credentials count from the next gathering on.
  configure(configuration) {
    this.pc.setConfiguration(configuration);
  }

  // Gathers anew, over the servers that are configured now, while what is connected goes on.
  restart() {
    this.pc.restartIce();
  }

  close() {
    clearTimeout(this.#restart);
    this.pc.close();
  }

  get isOpen() { return this.channel?.readyState === "open"; }

  #begin() {
    for (const track of this.#local.getTracks()) this.pc.addTrack(track, this.#local);
    this.channel = this.pc.createDataChannel("chat", { negotiated: true, id: 0 });
    this.channel.onopen = this.channel.onclose = () => this.#tell("open");
    this.channel.onmessage = ({ data }) => this.#tell("message", data);
  }

  async #offer() {
    try {
      this.#making = true;
      await this.pc.setLocalDescription();
      this.#describe();
    } catch (error) {
      if (this.pc.signalingState !== "closed") console.warn("no offer", error);
    } finally {
      this.#making = false;
    }
  }

  async #handle({ type, data }) {
    if (type === "candidate") {
      try {
        await this.pc.addIceCandidate(data ?? undefined);
      } catch (error) {
        if (!this.#ignoring) throw error;
      }
      return;
    }
    const collision = type === "offer" && (this.#making || this.pc.signalingState !== "stable");
    this.#ignoring = !this.polite && collision;
    if (this.#ignoring) return;
    if (!this.channel) this.#begin();
    // An answer to an offer of a connection that we have replaced meanwhile.
    if (type === "answer" && data.offer && data.offer !== sessionOf(this.pc.localDescription)) return;
    await this.pc.setRemoteDescription(data);
    this.theirs = sessionOf(data);
    if (type === "offer") {
      await this.pc.setLocalDescription();
      this.#describe(this.theirs);
    }
  }

  #describe(offer) {
    const description = this.pc.localDescription;
    this.#send(description.type, { type: description.type, sdp: description.sdp, ...(offer && { offer }) });
  }

  #changed() {
    clearTimeout(this.#restart);
    if (this.pc.connectionState === "failed") {
      this.#restart = setTimeout(() => this.pc.restartIce(), RESTART_AFTER);
    }
    const outcome = outcomeOf(this.pc.connectionState, this.#outcome);
    if (outcome) this.#account(outcome, performance.now() - this.#since);
    this.#tell("state");
  }

  async #account(outcome, ms) {
    this.#outcome = outcome;
    this.#tell("outcome", told(await statsOf(this.pc, outcome), outcome, ms));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
