/** What became of one connection, from getStats(): the way that it took, and how long it took to find it. */

export interface Outcome {
    /** lost: it was connected before. */
    outcome: "connected" | "failed" | "lost";
    /** Milliseconds until it was connected, or until that was given up. */
    connect_ms?: number;
    /** The kind of our candidate in use: host, srflx, prflx, or relay. */
    path?: string;
    /** udp or tcp; for a relay, what leads to it: udp, tcp or tls. */
    protocol?: string;
}

export async function outcome(
    connection: Pick<RTCPeerConnection, "getStats">, what: Outcome["outcome"], ms: number,
): Promise<Outcome> {
    const told: Outcome = { outcome: what };
    if (what !== "lost") told.connect_ms = Math.round(ms);
    const stats = new Map<string, any>();
    (await connection.getStats()).forEach((entry) => stats.set(entry.id, entry));
    const entries = [...stats.values()];
    const transport = entries.find(({ type }) => type === "transport");
    const pair = stats.get(transport?.selectedCandidatePairId)
        ?? entries.find(({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded");
    const local = stats.get(pair?.localCandidateId);
    if (what === "connected" && local) {
        told.path = local.candidateType;
        told.protocol = local.relayProtocol ?? local.protocol;
    }
    return told;
}
