/** Random cases, here and on Kafka Streams' own test driver. */
export async function differential(_count: number, _seed: number, _print: (line: string) => void): Promise<number> {
  throw new Error('not yet')
}
