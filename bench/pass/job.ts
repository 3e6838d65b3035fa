/** What each side of the pass bench is told, and what it tells. */
export interface Job {
  brokers: string[]
  input: string
  output: string
  records: number
  partitions: number
}

/** From the first request for records to the last acknowledgement. */
export interface Outcome {
  ms: number
}

export const job = (): Job => JSON.parse(process.argv[2]!) as Job

export const done = (outcome: Outcome): void => console.log(JSON.stringify(outcome))
