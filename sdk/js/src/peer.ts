/**
 * The connection to one member: perfect negotiation, trickle ICE, a data channel, ICE restarts.
 *
 * Of two members the one with the larger `order` is polite and makes the first offer. A description that comes from
 * another RTCPeerConnection than the last one, which its `o=` line tells, means that the member has begun anew: so do we.
 */

import { Emitter } from "./events.js";
import type { Member, ServerFrame } from "./frames.js";
import { outcome, type Outcome } from "./report.js";

const RESTART_AFTER = 2_000; // ms between a failure and the attempt to go another way

/** The session id of the o= line (RFC 8866, section 5.2): each RTCPeerConnection has its own and keeps it. */
export const sessionOf = (description: { sdp?: string } | null | undefined): string | null =>
    /^o=\S+ (\S+)/m.exec(description?.sdp ?? "")?.[1] ?? null;

/** What a change of state makes known: each connection is told of as connected or failed, and then as lost, once. */
export function outcomeOf(state: string, before: Outcome["outcome"] | null): Outcome["outcome"] | null {
    if (before === null) return state === "connected" || state === "failed" ? state : null;
    return before === "connected" && state === "failed" ? "lost" : null;
}

export interface CallOptions {
    /** What is sent to every member. */
    stream?: MediaStream;
    /** Added to every RTCPeerConnection's configuration, such as `{ iceTransportPolicy: "relay" }`. */
    configuration?: RTCConfiguration;
}

export type PeerEvents = {
    /** The member has begun anew: `connection`, `channel` and `stream` are others now. */
    connection: [RTCPeerConnection];
    track: [MediaStreamTrack, MediaStream];
    /** Text or bytes from the data channel. */
    message: [string | ArrayBuffer];
    /** The data channel is open, so that send() has somewhere to send to. */
    open: [];
    state: [RTCPeerConnectionState];
    /** How it went. */
    outcome: [Outcome];
    closed: [];
};

export interface PeerSetup {
    member: Member;
    polite: boolean;
    configuration: RTCConfiguration;
    stream?: MediaStream | undefined;
    send(type: string, data: unknown): void;
    make?: (configuration: RTCConfiguration) => RTCPeerConnection;
}

export class Peer extends Emitter<PeerEvents> {
    readonly member: Member;
    readonly polite: boolean;
    /** All tracks that the member sends. */
    stream!: MediaStream;
    connection!: RTCPeerConnection;
    channel: RTCDataChannel | null = null;
    #setup: PeerSetup;
    #making = false;
    #ignoring = false;
    #theirs: string | null = null;
    #queue: Promise<void> = Promise.resolve();
    #restart: any;
    #closed = false;
    #renewed = false;

    constructor(setup: PeerSetup) {
        super();
        this.#setup = setup;
        this.member = setup.member;
        this.polite = setup.polite;
        this.#make();
        if (this.polite) this.#begin();
    }

    /** Sends over the data channel; false while it is not open. */
    send(data: string | ArrayBuffer): boolean {
        if (this.channel?.readyState !== "open") return false;
        this.channel.send(data as string);
        return true;
    }

    /** Applies a frame of this member; frames are applied one after the other. */
    receive(frame: ServerFrame): void {
        this.#queue = this.#queue.then(() => this.#apply(frame)).catch((error) => {
            if (!this.#closed) console.warn(`fairlead: ${frame.type} of ${this.member.id} was not applied`, error);
        });
    }

    /** Fresh servers and credentials; they count from the next gathering on, which a restart begins. */
    configure(iceServers: RTCIceServer[]): void {
        this.#setup.configuration = { ...this.#setup.configuration, iceServers };
        this.connection.setConfiguration(this.#setup.configuration);
    }

    /** Looks for another way to the member while the present one goes on. */
    restart(): void {
        this.connection.restartIce();
    }

    close(): void {
        if (this.#closed) return;
        this.#closed = true;
        clearTimeout(this.#restart);
        this.connection.close();
        this.emit("closed");
    }

    #make(): void {
        const make = this.#setup.make ?? ((configuration) => new RTCPeerConnection(configuration));
        const connection = this.connection = make(this.#setup.configuration);
        const since = performance.now();
        let before: Outcome["outcome"] | null = null;
        this.channel = null;
        this.#theirs = null;
        this.stream = new MediaStream();
        connection.onnegotiationneeded = () => void this.#offer(connection);
        connection.onicecandidate = ({ candidate }) => this.#setup.send("candidate", candidate?.toJSON() ?? null);
        connection.ontrack = ({ track }) => {
            this.stream.addTrack(track);
            this.emit("track", track, this.stream);
        };
        connection.onconnectionstatechange = () => {
            clearTimeout(this.#restart);
            const state = connection.connectionState;
            if (state === "failed") this.#restart = setTimeout(() => this.restart(), RESTART_AFTER);
            const what = outcomeOf(state, before);
            if (what !== null) {
                before = what;
                void outcome(connection, what, performance.now() - since).then((told) => this.emit("outcome", told));
            }
            this.emit("state", state);
        };
    }

    /** What makes the first offer; who is not polite waits with it for the other's. */
    #begin(): void {
        const { stream } = this.#setup;
        for (const track of stream?.getTracks() ?? []) this.connection.addTrack(track, stream!);
        const channel = this.channel = this.connection.createDataChannel("fairlead", { negotiated: true, id: 0 });
        channel.binaryType = "arraybuffer";
        channel.onopen = () => this.emit("open");
        channel.onmessage = ({ data }) => this.emit("message", data);
        if (this.#renewed) this.emit("connection", this.connection);
    }

    #renew(): void {
        this.#renewed = true;
        clearTimeout(this.#restart);
        this.connection.close();
        this.#make();
    }

    async #offer(connection: RTCPeerConnection): Promise<void> {
        try {
            this.#making = true;
            await connection.setLocalDescription();
            if (connection === this.connection) this.#describe();
        } catch (error) {
            if (connection === this.connection && !this.#closed) console.warn("fairlead: no offer was made", error);
        } finally {
            this.#making = false;
        }
    }

    async #apply({ type, data }: ServerFrame): Promise<void> {
        if (this.#closed) return;
        if (type === "candidate") await this.#add(data);
        else if (type === "candidates") for (const one of data) await this.#add(one);
        else if (type === "restart") this.restart();
        else if (type === "offer" || type === "answer") await this.#take(data);
    }

    async #add(candidate: RTCIceCandidateInit | null): Promise<void> {
        try {
            await this.connection.addIceCandidate(candidate ?? undefined);
        } catch (error) {
            // Of an offer that is ignored, or of a connection that either side has replaced meanwhile.
            if (!this.#ignoring && this.#theirs !== null && this.connection.signalingState === "stable") throw error;
        }
    }

    async #take(description: RTCSessionDescriptionInit): Promise<void> {
        const theirs = sessionOf(description);
        if (this.#theirs !== null && theirs !== this.#theirs) {
            this.#renew();
            if (this.polite || description.type === "answer") this.#begin();
            if (description.type === "answer") return;
        }
        const collides = description.type === "offer" && (this.#making || this.connection.signalingState !== "stable");
        this.#ignoring = !this.polite && collides;
        if (this.#ignoring) return;
        if (description.type === "answer" && this.connection.signalingState !== "have-local-offer") return;
        if (!this.channel) this.#begin();
        await this.connection.setRemoteDescription(description);
        this.#theirs = theirs;
        if (description.type === "offer") {
            await this.connection.setLocalDescription();
            this.#describe();
        }
    }

    #describe(): void {
        const { type, sdp } = this.connection.localDescription!;
        this.#setup.send(type, { type, sdp });
    }
}
