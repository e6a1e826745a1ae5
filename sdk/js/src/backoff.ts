/** How long to wait before the next attempt to connect. */

const FIRST = 500, LONGEST = 20_000; // ms
/** ms after which a connection counts as good */
export const SETTLED = 10_000;

/** Codes below 4100 say that coming back would not help. */
export const isFinal = (code: number): boolean => code === 1000 || (code >= 4000 && code < 4100);

/**
 * Milliseconds: full jitter below a bound that doubles, a second more where the server asked for patience (4100-4199),
 * and what it named when it drained.
 */
export function pause(attempts: number, code: number, drained: number | null, random: () => number): number {
    if (drained !== null) return drained;
    const bound = Math.min(LONGEST, FIRST * 2 ** attempts);
    return (code >= 4100 && code < 4200 ? 1000 : 0) + random() * bound;
}
