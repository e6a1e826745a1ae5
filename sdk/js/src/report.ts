/** What became of one connection, from getStats(): the way that it took, and how long it took to find it. */

export interface Outcome {
    result: "connected" | "failed";
    /** Milliseconds from the first step to the result. */
    ms: number;
    /** The kind of our candidate in use: host, srflx, prflx, or relay. */
    path?: string;
    /** udp or tcp; for a relay, what leads to it: udp, tcp or tls. */
    protocol?: string;
}

export async function outcome(
    connection: Pick<RTCPeerConnection, "getStats">, result: Outcome["result"], ms: number,
): Promise<Outcome> {
    const told: Outcome = { result, ms: Math.round(ms) };
    const stats = new Map<string, any>();
    (await connection.getStats()).forEach((entry) => stats.set(entry.id, entry));
    const entries = [...stats.values()];
    const transport = entries.find(({ type }) => type === "transport");
    const pair = stats.get(transport?.selectedCandidatePairId)
        ?? entries.find(({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded");
    const local = stats.get(pair?.localCandidateId);
    if (result === "connected" && local) {
        told.path = local.candidateType;
        told.protocol = local.relayProtocol ?? local.protocol;
    }
    return told;
}
