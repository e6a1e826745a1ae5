export { Client, connect, type ClientEvents } from "./client.js";
export { SignalingError, type Ice, type Member, type Recipients, type ServerFrame, type Welcome } from "./frames.js";
export { Peer, type CallOptions, type PeerEvents } from "./peer.js";
export type { Outcome } from "./report.js";
export { Room, type JoinOptions, type RoomEvents } from "./room.js";
export { Session, type SessionEvents, type SessionOptions, type Status, type Token } from "./session.js";
export type { TransportName } from "./transports.js";
