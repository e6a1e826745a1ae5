/** The envelope of sig.v1, as far as this client reads it. What it does not know it passes on. */

export type Recipients = string | string[] | { user: string };

export interface ClientFrame {
    type: string;
    id?: string;
    room?: string;
    to?: Recipients;
    ack?: number;
    data?: unknown;
}

export interface ServerFrame {
    type: string;
    seq?: number;
    re?: string;
    room?: string;
    from?: string;
    ts?: number;
    data?: any;
}

export interface Welcome {
    sid: string;
    key: string;
    epoch: string;
    resumed: boolean;
    limits?: { frame_bytes?: number };
    /** Why a session was not resumed: unknown, epoch or gap. Only after `unknown` its rooms are gone as well. */
    reason?: string;
}

export interface Hello {
    v: 1;
    token?: string;
    resume?: { sid: string; key: string; after: string };
    client: { name: string; version: string };
}

/** A member as the others see it; `order` decides who of a pair is polite. */
export interface Member {
    id: string;
    user: string | null;
    order: number;
    meta: unknown;
    joined_at: number;
}

export interface Ice {
    iceServers: RTCIceServer[];
    refresh_at?: string;
}

export interface Joined {
    room: string;
    self: { id: string; order: number };
    members: Member[];
    meta?: unknown;
    role: string;
    rseq: number;
    ice?: Ice;
}

/** The server refused a frame, or closed the session for good. `code` is stable; programs switch on it. */
export class SignalingError extends Error {
    constructor(readonly code: string, message: string, readonly retryAfterMs?: number) {
        super(message);
        this.name = "SignalingError";
    }
}
