/** The front door: one session, and the rooms that it is in. */

import { Emitter } from "./events.js";
import { SignalingError, type ServerFrame } from "./frames.js";
import { Room, type JoinOptions } from "./room.js";
import { Session, type SessionOptions, type Status } from "./session.js";

export type ClientEvents = {
    status: [Status];
    /** Every frame that belongs to no room that we are in, also of types that this client does not know. */
    frame: [ServerFrame];
};

export class Client extends Emitter<ClientEvents> {
    readonly session: Session;
    readonly rooms = new Map<string, Room>();

    constructor(session: Session) {
        super();
        this.session = session;
        session.on("status", (status) => {
            this.emit("status", status);
            if (status.state === "closed") for (const room of [...this.rooms.values()]) room.end(String(status.code));
        });
        session.on("frame", (frame) => this.#receive(frame));
        session.on("welcome", (_, anew) => { if (anew) this.#return(); });
    }

    /** Joins a room, and comes back to it by itself should the session be lost. Rejects with a SignalingError. */
    async join(name: string, options: JoinOptions = {}): Promise<Room> {
        if (this.rooms.has(name)) throw new SignalingError("already_joined", `this client is in ${name} already`);
        const room = new Room(this.session, name, options);
        this.rooms.set(name, room);
        room.on("closed", () => this.rooms.delete(name));
        try {
            await room.enter();
        } catch (error) {
            this.rooms.delete(name);
            throw error;
        }
        return room;
    }

    /** Leaves everything, for good. */
    close(): void {
        for (const room of [...this.rooms.values()]) room.leave().catch(() => {});
        this.session.close();
    }

    #receive(frame: ServerFrame): void {
        const room = frame.room === undefined ? undefined : this.rooms.get(frame.room);
        if (room && frame.type === "room.closed") room.end(frame.data?.reason ?? "closed");
        else if (room) room.receive(frame);
        else if (frame.type === "ice") for (const each of this.rooms.values()) each.receive(frame);
        else this.emit("frame", frame);
    }

    /** The session that knew the rooms is gone: they are joined again, in this one. */
    #return(): void {
        const lost = [...this.rooms.values()].filter(({ isIn }) => isIn);
        for (const room of this.rooms.values()) this.session.abandon(room.name);
        for (const room of lost) void room.enterAgain();
    }
}

/**
 * Opens a session at a server, such as https://signal.example.org, and resolves once it stands. From then on it comes
 * back by itself: `status` tells how it is. Rejects when the server says that coming back would not help.
 */
export async function connect(server: string, options: SessionOptions = {}): Promise<Client> {
    const session = new Session(server, options);
    const client = new Client(session);
    await new Promise<void>((resolve, reject) => {
        session.on("welcome", () => resolve());
        session.on("status", (status) => {
            if (status.state === "closed") reject(new SignalingError(String(status.code), status.reason));
        });
        void session.open();
    });
    return client;
}
