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

/** How often the way is asked for, and the milliseconds between: Chromium keeps its answers for up to 50 ms. */
const LOOKS = 10;
const APART_MS = 60;

const pause = () => new Promise<void>((resolve) => { setTimeout(resolve, APART_MS); });

export async function outcome(
    connection: Pick<RTCPeerConnection, "getStats">, what: Outcome["outcome"], ms: number, wait = pause,
): Promise<Outcome> {
    if (what === "lost") return { outcome: what };
    const told: Outcome = { outcome: what, connect_ms: Math.round(ms) };
    if (what === "failed") return told;
    let local = await candidateInUse(connection);
    for (let looks = 1; !local && looks < LOOKS; looks += 1) {
        await wait();
        local = await candidateInUse(connection);
    }
    if (local) Object.assign(told, { path: local.candidateType, protocol: local.relayProtocol ?? local.protocol });
    return told;
}

/** Our side of the pair in use; undefined before there is one. Firefox has no transport entry. */
async function candidateInUse(connection: Pick<RTCPeerConnection, "getStats">): Promise<any> {
    const stats = new Map<string, any>();
    (await connection.getStats()).forEach((entry) => stats.set(entry.id, entry));
    const entries = [...stats.values()];
    const transport = entries.find(({ type }) => type === "transport");
    const pair = stats.get(transport?.selectedCandidatePairId)
        ?? entries.find(({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded");
    return stats.get(pair?.localCandidateId);
}
