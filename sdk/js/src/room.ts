/** A room: who is in it, what they say, and a connection to each of them once there is a call. */

import { Emitter } from "./events.js";
import type { Ice, Joined, Member, Recipients, ServerFrame, SignalingError } from "./frames.js";
import { Peer, type CallOptions } from "./peer.js";
import type { Session } from "./session.js";

const NEGOTIATION = new Set(["offer", "answer", "candidate", "candidates", "restart"]);
/** What a member says that wants a connection where there is none. */
const BEGINNINGS = new Set(["offer", "restart"]);
const AWAY = 120_000; // ms for which a server keeps the session of a member that is away, and its relay
const AGAIN = 1_000; // ms until a room that cannot be joined just now is tried again

export interface JoinOptions {
    /** What the others see of us. */
    meta?: unknown;
    password?: string;
    /** A token for this room alone. */
    token?: string;
    /** What holds in the room, for who opens it: `{ capacity, password, meta, roles }`. */
    create?: unknown;
}

export type RoomEvents = {
    joined: [Member];
    left: [Member, string];
    updated: [Member];
    /** A message of a member, or a frame of a type of the application's own (`x.`). */
    message: [{ from: string; type: string; data: any }];
    /** A connection to a member begins; its tracks and messages come later. */
    peer: [Peer];
    /** Every other frame of this room, also of types that this client does not know: `turn`, `quota`, ... */
    frame: [ServerFrame];
    closed: [string];
};

export class Room extends Emitter<RoomEvents> {
    readonly name: string;
    readonly members = new Map<string, Member>();
    readonly peers = new Map<string, Peer>();
    id = "";
    order = 0;
    role = "";
    meta: unknown = null;
    ice: Ice | null = null;
    #session: Session;
    #options: JoinOptions;
    #rseq = 0;
    #call: CallOptions | null = null;
    #early = new Map<string, ServerFrame[]>();
    /** Members to whom we have said bye. */
    #parted = new Set<string>();
    /** Members that are away, while the connection to them lives. */
    #away = new Map<string, any>();
    #isEntering = false;
    #isLeaving = false;
    #isReturning = false;
    #isOver = false;

    /** For the Client: rooms are joined there. */
    constructor(session: Session, name: string, options: JoinOptions) {
        super();
        this.#session = session;
        this.#options = options;
        this.name = name;
    }

    /** Connects to every member that is here, or comes: `peer` tells of each. */
    call(options: CallOptions = {}): void {
        this.#call = options;
        for (const member of this.members.values()) this.#connect(member);
    }

    /** Ends the connections to all members, who are told; the room goes on. */
    hangUp(): void {
        for (const id of this.peers.keys()) {
            this.#parted.add(id);
            this.#tell(id, "bye", null);
        }
        this.#endCall();
    }

    /** Sends a message to everybody else, or to some. */
    async send(data: unknown, to: Recipients = "*", type = "message"): Promise<void> {
        await this.#session.request(type, { room: this.name, to, data });
    }

    /** A fresh token for this room, in place of the one that it was joined with. */
    async renew(token: string): Promise<void> {
        await this.#session.request("token", { room: this.name, data: { token } });
        this.#options = { ...this.#options, token };
    }

    async leave(): Promise<void> {
        this.#endCall();
        this.#isLeaving = true;
        try {
            await this.#session.request("leave", { room: this.name });
        } catch (error) {
            // With its session the membership is gone as well, and on the way back there is none yet.
            if (!["session_expired", "room_not_found"].includes((error as SignalingError).code)) throw error;
        } finally {
            this.#isLeaving = false;
        }
        this.end("left");
    }

    // For the Client

    async enter(): Promise<void> {
        this.#isEntering = true;
        try {
            await this.#session.request("join", { room: this.name, data: { ...this.#options } });
        } finally {
            this.#isEntering = false;
        }
    }

    /** Comes back in another session; a server that cannot do that just now is asked until it can. */
    async enterAgain(): Promise<void> {
        this.#isReturning = true;
        let pause: number | null;
        while (!this.#isOver && (pause = await this.#tryAgain()) !== null) {
            await new Promise((resolve) => { setTimeout(resolve, pause!); });
        }
        this.#isReturning = false;
    }

    /** Milliseconds until the next attempt; null when it is in, or never will be. */
    async #tryAgain(): Promise<number | null> {
        if (this.#isLeaving) return AGAIN;
        try {
            await this.enter();
        } catch (error) {
            const { code, retryAfterMs } = error as SignalingError;
            if (code === "engine_unavailable") return retryAfterMs ?? AGAIN;
            this.end(code ?? String(error));
        }
        return null;
    }

    /** Whether it has to be entered again where its session is lost: a join under way is repeated by the session. */
    get isIn(): boolean { return !this.#isEntering && !this.#isLeaving && !this.#isReturning; }

    end(reason: string): void {
        if (this.#isOver) return;
        this.#isOver = true;
        this.#endCall();
        this.emit("closed", reason);
    }

    receive(frame: ServerFrame): void {
        const { type, data, from } = frame;
        if (type === "joined") this.#show(data);
        else if (type === "ice") this.#renew(data);
        else if (type.startsWith("member.") && data?.members) this.#change(frame);
        else if (type === "room.updated") this.#describe(frame);
        else if (from !== undefined && NEGOTIATION.has(type)) this.#negotiate(from, frame);
        else if (from !== undefined && type === "bye") this.#part(from);
        else if (from !== undefined) this.emit("message", { from, type, data });
        else this.emit("frame", frame);
    }

    /** The room as it is now: the difference to what we knew is told. */
    #show(joined: Joined): void {
        const isAnother = this.id !== "" && this.id !== joined.self.id;
        Object.assign(this, { id: joined.self.id, order: joined.self.order, role: joined.role, meta: joined.meta ?? null });
        this.#rseq = joined.rseq;
        const here = new Set(joined.members.map(({ id }) => id));
        if (isAnother) for (const id of [...this.peers.keys()]) this.#disconnect(id);
        for (const [id, member] of [...this.members]) {
            if (!isAnother && here.has(id)) continue;
            this.#disconnect(id);
            this.#remove(member, "timeout");
        }
        if (joined.ice) this.#renew(joined.ice);
        for (const member of joined.members) this.#add(member);
    }

    #change({ type, data }: ServerFrame): void {
        if (data.rseq <= this.#rseq) return; // It was in the room as we saw it.
        this.#rseq = data.rseq;
        for (const one of data.members) {
            const known = this.members.get(one.id);
            if (type === "member.left" && known) this.#remove(known, one.reason);
            else if (type === "member.joined" && one.id !== this.id) this.#add(one);
            else if (type === "member.updated" && known) {
                Object.assign(known, one);
                this.emit("updated", known);
            }
        }
    }

    /** What is said of the room; it is told as the frame that it is. */
    #describe(frame: ServerFrame): void {
        if (frame.data.rseq <= this.#rseq) return; // It was in the room as we saw it.
        this.meta = frame.data.meta ?? null;
        this.emit("frame", frame);
    }

    #add(member: Member): void {
        const isNew = !this.members.has(member.id);
        if (isNew) {
            this.members.set(member.id, member);
            this.emit("joined", member);
        } else Object.assign(this.members.get(member.id)!, member);
        if (this.#call) this.#connect(this.members.get(member.id)!);
    }

    #remove(member: Member, reason: string): void {
        this.members.delete(member.id);
        this.#early.delete(member.id);
        this.#parted.delete(member.id);
        if (reason === "timeout" && this.peers.get(member.id)?.connection.connectionState === "connected") this.#wait(member.id);
        else this.#disconnect(member.id);
        this.emit("left", member, reason);
    }

    /** Its signaling is silent, which ends no call: the connection stays while it lives and the member may come back. */
    #wait(id: string): void {
        this.#away.set(id, setTimeout(() => this.#disconnect(id), AWAY));
        this.peers.get(id)!.on("state", (state) => {
            if (this.#away.has(id) && (state === "failed" || state === "closed")) this.#disconnect(id);
        });
    }

    #isBack(id: string): void {
        clearTimeout(this.#away.get(id));
        this.#away.delete(id);
    }

    #connect(member: Member): void {
        this.#isBack(member.id);
        if (this.peers.has(member.id)) return;
        const call = this.#call!;
        const peer = new Peer({
            member,
            polite: this.order > member.order,
            configuration: { iceServers: this.ice?.iceServers ?? [], ...call.configuration },
            stream: call.stream,
            send: (type, data) => this.#tell(member.id, type, data),
        });
        this.peers.set(member.id, peer);
        // An older server says that it knows no such frame, and that is all right.
        peer.on("outcome", (told) => void this.#session
            .request("report", { room: this.name, data: { peer: member.id, ...told } }).catch(() => {}));
        this.emit("peer", peer);
        const early = this.#early.get(member.id) ?? [];
        // It makes the first offer, and has taken us at our word.
        if (this.#parted.delete(member.id) && !peer.polite && !early.length) this.#tell(member.id, "restart", null);
        for (const frame of early) peer.receive(frame);
        this.#early.delete(member.id);
    }

    #tell(id: string, type: string, data: unknown): void {
        void this.#session.request(type, { room: this.name, to: id, data }).catch(() => {});
    }

    #endCall(): void {
        this.#call = null;
        for (const id of [...this.peers.keys()]) this.#disconnect(id);
    }

    #disconnect(id: string): void {
        this.#isBack(id);
        const peer = this.peers.get(id);
        this.peers.delete(id);
        peer?.close();
    }

    /** The member has ended its call with us; should it make another one, its offer or its wish for ours begins that. */
    #part(from: string): void {
        this.#early.delete(from);
        this.#disconnect(from);
    }

    /** What comes before our side has a call waits for it. */
    #negotiate(from: string, frame: ServerFrame): void {
        const member = this.members.get(from);
        if (this.#call && member && !this.peers.has(from) && BEGINNINGS.has(frame.type)) {
            this.#connect(member);
            if (frame.type === "restart") return; // That was it.
        }
        const peer = this.peers.get(from);
        if (peer) peer.receive(frame);
        else if (member) this.#early.set(from, [...this.#early.get(from) ?? [], frame].slice(-64));
    }

    #renew(data: Ice & { restart?: boolean }): void {
        if (data.iceServers) {
            this.ice = data;
            if (!this.#call?.configuration?.iceServers) for (const peer of this.peers.values()) peer.configure(data.iceServers);
        }
        if (data.restart) for (const peer of this.peers.values()) peer.restart();
    }
}
