/** Checks how Kafka is to be reached, before anything connects: a misspelt or impossible option is no connection that fails later. */
import { type Check, callable, having, longestTimer, oneOf, refuseUnknown, text, whole, wrong } from '../check.ts'
import { ConfigError } from '../errors.ts'
import type { KafkaTransportOptions } from './kafkajs.ts'

export const KAFKA_OPTIONS = [
  'brokers',
  'clientId',
  'ssl',
  'sasl',
  'connectionTimeoutMs',
  'requestTimeoutMs',
  'reachTimeoutMs',
  'log',
  'socketFactory',
  'clock',
  'random'
] as const satisfies readonly (keyof KafkaTransportOptions)[]

const milliseconds = (least: number): Check<number> =>
  longestTimer(whole(least, `a whole number of milliseconds, ${least} or more`))

const CHECKS: Readonly<Record<Exclude<(typeof KAFKA_OPTIONS)[number], 'brokers'>, Check<unknown>>> = {
  clientId: text,
  ssl: (value, name) =>
    typeof value === 'boolean' || (typeof value === 'object' && value !== null && !Array.isArray(value))
      ? value
      : wrong(name, value, 'true, or an object with options of tls.connect such as { ca, cert, key }'),
  sasl,
  connectionTimeoutMs: milliseconds(1),
  requestTimeoutMs: milliseconds(1),
  reachTimeoutMs: milliseconds(0),
  log: callable('a function that takes { level, message, details }'),
  socketFactory: callable('a function that takes { host, port, ssl, onConnect } and gives a socket'),
  clock: having('a clock with now, setTimeout and clearTimeout', 'now', 'setTimeout', 'clearTimeout'),
  random: callable('a function that gives numbers in [0, 1)')
}

/**
 * @param path of the options in a larger object, for messages: `kafka.`
 * @throws ConfigError ERR_UNKNOWN_OPTION with the nearest name; ERR_OPTION for a value that cannot work
 */
export function checkKafkaOptions(options: unknown, path = ''): asserts options is KafkaTransportOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    wrong(
      path === '' ? 'options' : path.slice(0, -1),
      options,
      `an object with brokers, as in { brokers: ['localhost:9092'] }`
    )
  }
  refuseUnknown(options, KAFKA_OPTIONS, path)
  const given = options as Record<string, unknown>
  const brokers = `${path}brokers`
  if (!Array.isArray(given.brokers) || given.brokers.length === 0) {
    wrong(brokers, given.brokers, `a list of at least one address, as in ['localhost:9092']`)
  }
  for (const address of given.brokers as unknown[]) parseAddress(address, brokers)
  for (const [name, check] of Object.entries(CHECKS)) if (given[name] !== undefined) check(given[name], path + name)
}

export interface Address {
  host: string
  port: number
}

/** Reads `host:port` or `[::1]:port`. @throws ConfigError */
export function parseAddress(address: unknown, option = 'brokers'): Address {
  const match = /^\[?([^[\]]+?)\]?:(\d{1,5})$/.exec(typeof address === 'string' ? address.trim() : '')
  const port = Number(match?.[2])
  if (!match || port < 1 || port > 65_535) {
    throw new ConfigError(`"${address}" is no broker address: write host:port, as in 'localhost:9092'.`, {
      details: { option, address }
    })
  }
  return { host: match[1]!, port }
}

/** What each login needs beside its name; kafkajs would find out only when a broker refuses. */
const LOGINS: Readonly<Record<string, readonly string[]>> = {
  plain: ['username', 'password'],
  'scram-sha-256': ['username', 'password'],
  'scram-sha-512': ['username', 'password'],
  aws: ['authorizationIdentity', 'accessKeyId', 'secretAccessKey'],
  oauthbearer: ['oauthBearerProvider']
}

function sasl(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return wrong(name, value, "an object such as { mechanism: 'scram-sha-512', username, password }")
  }
  const login = value as Record<string, unknown>
  if (typeof login.authenticationProvider === 'function') return value // a mechanism of the user's own
  const mechanism = oneOf(...Object.keys(LOGINS))(login.mechanism, `${name}.mechanism`)
  for (const field of LOGINS[mechanism]!) {
    const expected = field === 'oauthBearerProvider' ? 'function' : 'string'
    if (typeof login[field] === expected && login[field] !== '') continue
    // What stands there may be a secret: it is not shown.
    throw new ConfigError(
      `Option "${name}.${field}" is missing or no ${expected}: the mechanism ${mechanism} needs it.`,
      { details: { option: `${name}.${field}` } }
    )
  }
  return value
}
