/** Topic settings: which there are, their defaults as in Kafka, and which values they take. */
const DAY = 86_400_000

/** Name → default. Settings that only matter to files or replicas are accepted and kept, without effect. */
export const TOPIC_DEFAULTS: Readonly<Record<string, string>> = {
  'cleanup.policy': 'delete',
  'compression.gzip.level': '-1',
  'compression.lz4.level': '9',
  'compression.type': 'producer',
  'compression.zstd.level': '3',
  'delete.retention.ms': String(DAY),
  'file.delete.delay.ms': '60000',
  'flush.messages': '9223372036854775807',
  'flush.ms': '9223372036854775807',
  'index.interval.bytes': '4096',
  'max.compaction.lag.ms': '9223372036854775807',
  'max.message.bytes': '1048588',
  'message.timestamp.after.max.ms': '9223372036854775807',
  'message.timestamp.before.max.ms': '9223372036854775807',
  'message.timestamp.type': 'CreateTime',
  'min.cleanable.dirty.ratio': '0.5',
  'min.compaction.lag.ms': '0',
  'min.insync.replicas': '1',
  preallocate: 'false',
  'retention.bytes': '-1',
  'retention.ms': String(7 * DAY),
  'segment.bytes': '1073741824',
  'segment.index.bytes': '10485760',
  'segment.jitter.ms': '0',
  'segment.ms': String(7 * DAY),
  'unclean.leader.election.enable': 'false'
}

const WORDS: Readonly<Record<string, readonly string[]>> = {
  'cleanup.policy': ['delete', 'compact', 'compact,delete', 'delete,compact'],
  'message.timestamp.type': ['CreateTime', 'LogAppendTime'],
  'compression.type': ['producer', 'uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'],
  preallocate: ['true', 'false'],
  'unclean.leader.election.enable': ['true', 'false']
}

/** Why a setting is refused, or undefined. */
export function refusal(name: string, value: string): string | undefined {
  if (!(name in TOPIC_DEFAULTS)) return `Unknown topic config name: ${name}`
  const words = WORDS[name]
  const fits = words ? words.includes(value.replaceAll(' ', '')) : value.trim() !== '' && Number.isFinite(Number(value))
  return fits ? undefined : `Invalid value ${value} for configuration ${name}`
}

/** One topic's settings, with the ones the log reads at each append kept as numbers. */
export class TopicConfig {
  #set = new Map<string, string>()
  maxMessageBytes = 0
  retentionMs = 0
  retentionBytes = 0
  deleteRetentionMs = 0
  compactionLagMs = 0
  timestampBeforeMs = 0
  timestampAfterMs = 0
  compact = false
  delete = false
  appendTime = false

  constructor(settings: Readonly<Record<string, string>> = {}) {
    for (const [name, value] of Object.entries(settings)) this.#set.set(name, value)
    this.#read()
  }

  /** Null goes back to the default. */
  change(name: string, value: string | null): void {
    if (value === null) this.#set.delete(name)
    else this.#set.set(name, value)
    this.#read()
  }

  get(name: string): string {
    return this.#set.get(name) ?? TOPIC_DEFAULTS[name]!
  }

  entries(): { name: string; value: string; isDefault: boolean }[] {
    return Object.keys(TOPIC_DEFAULTS).map((name) => ({
      name,
      value: this.get(name),
      isDefault: !this.#set.has(name)
    }))
  }

  #read(): void {
    const number = (name: string): number => Number(this.get(name))
    const policies = this.get('cleanup.policy').split(',')
    this.compact = policies.some((p) => p.trim() === 'compact')
    this.delete = policies.some((p) => p.trim() === 'delete')
    this.appendTime = this.get('message.timestamp.type') === 'LogAppendTime'
    this.maxMessageBytes = number('max.message.bytes')
    this.retentionMs = number('retention.ms')
    this.retentionBytes = number('retention.bytes')
    this.deleteRetentionMs = number('delete.retention.ms')
    this.compactionLagMs = number('min.compaction.lag.ms')
    this.timestampBeforeMs = number('message.timestamp.before.max.ms')
    this.timestampAfterMs = number('message.timestamp.after.max.ms')
  }
}
