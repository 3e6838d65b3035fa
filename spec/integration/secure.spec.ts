/** A job on listeners with TLS, with a login, and with both: what goes over the wire is more than a socket's read at once. */
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import {
  bytes,
  createRuntime,
  type KafkaWireOptions,
  kafkaTransport,
  MillraceError,
  string,
  topic,
  topology
} from '../../actors/index.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { freePorts } from '../../lib/testing/kafka/ports.ts'
import { type KafkaHandle, startKafka } from '../../lib/testing/kafka.ts'
import { until } from '../../lib/testing/until.ts'
import { stateDirectory } from '../actors/jobKit.ts'
import { uniqueName } from './support.ts'

// Of this spec alone: a key that is in every copy protects nothing.
const pem = (name: string): string => readFileSync(new URL(`tls/${name}.pem`, import.meta.url), 'utf8')
const inline = (text: string): string => text.trim().replaceAll('\n', '\\n')
const USERS = 'user_spec="open sesame"'
const JAAS = `org.apache.kafka.common.security.plain.PlainLoginModule required username="spec" password="open sesame" ${USERS};`

const RECORDS = 3_000
const VALUE = Buffer.alloc(1_500, 'v')

describe('a job on a secured Kafka', function () {
  this.timeout(60_000)
  let kafka: KafkaHandle
  const ports = { tls: 0, login: 0, both: 0 }

  before(async () => {
    const [plain, controller, ...secured] = (await freePorts(5)) as [number, number, number, number, number]
    ;[ports.tls, ports.login, ports.both] = secured
    const named = { PLAINTEXT: plain, TLS: ports.tls, LOGIN: ports.login, BOTH: ports.both }
    const at = (names: object): string =>
      Object.entries(names)
        .map(([name, port]) => `${name}://127.0.0.1:${port}`)
        .join(',')
    kafka = await startKafka({
      own: true,
      ways: ['java'], // its listeners are bound where we say
      ports: [plain],
      config: {
        listeners: at({ ...named, CONTROLLER: controller }),
        'advertised.listeners': at(named),
        'controller.quorum.voters': `1@127.0.0.1:${controller}`,
        'listener.security.protocol.map':
          'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,LOGIN:SASL_PLAINTEXT,BOTH:SASL_SSL',
        'ssl.keystore.type': 'PEM',
        'ssl.keystore.key': inline(pem('key')),
        'ssl.keystore.certificate.chain': inline(pem('cert')),
        'sasl.enabled.mechanisms': 'PLAIN',
        'listener.name.login.plain.sasl.jaas.config': JAAS,
        'listener.name.both.plain.sasl.jaas.config': JAAS
      }
    })
  })
  after(() => kafka?.stop())

  const ssl = { ca: [pem('cert')] }
  const sasl = { mechanism: 'plain' as const, username: 'spec', password: 'open sesame' }
  const LISTENERS: Readonly<Record<keyof typeof ports, Omit<KafkaWireOptions, 'brokers'>>> = {
    tls: { ssl },
    login: { sasl },
    both: { ssl, sasl }
  }
  const secured = (name: keyof typeof ports): KafkaWireOptions => ({
    brokers: [`127.0.0.1:${ports[name]}`],
    ...LISTENERS[name]
  })

  for (const [name, what] of [
    ['tls', 'TLS'],
    ['login', 'a login'],
    ['both', 'TLS and a login']
  ] as const) {
    it(`with ${what}: reads and writes some megabytes, exactly once`, async () => {
      const [from, to] = [uniqueName(`${name}-in`), uniqueName(`${name}-out`)]
      const transport = kafkaTransport(secured(name))
      const state = await stateDirectory()
      try {
        await transport.admin.create(
          [from, to].map((topicName) => ({ topic: topicName, partitions: 1, replication: 1, config: {} }))
        )
        const producer = await transport.producer({ lane: 0 })
        const writer = producer.writer(from, 0)
        for (let i = 0; i < RECORDS; i++) {
          const key = Buffer.from(String(i))
          writer.append(1_700_000_000_000 + i, key, 0, key.length, VALUE, 0, VALUE.length, NO_HEADERS)
        }
        await producer.flush()
        await producer.close()
        const t = topology()
        t.stream(topic(from, { key: string(), value: bytes() })).to(topic(to, { key: string(), value: bytes() }))
        const runtime = createRuntime({
          ...{ id: uniqueName('secure'), topology: t, kafka: secured(name), stateDir: state.path },
          guarantee: 'exactly-once'
        })
        const app = await runtime.run({ signals: false })
        const seen: string[] = []
        const reader = transport.reader({
          ...{ isolation: 'committed', lane: 'source' },
          onError: (error) => {
            throw error
          }
        })
        reader.add({ topic: to, partition: 0 }, 0, ({ records }) => {
          for (let i = 0; i < records.count; i++) {
            if (!records.value(i)!.equals(VALUE)) throw new Error(`record ${seen.length} is not what was written`)
            seen.push(records.key(i)!.toString())
          }
        })
        await until(() => seen.length >= RECORDS, { what: () => `${seen.length} of ${RECORDS} records came out` })
        expect(seen).to.eql(Array.from({ length: RECORDS }, (_, i) => String(i)))
        await reader.close()
        await app.drain()
      } finally {
        await transport.close()
        await state.remove()
      }
    })
  }

  it('with a wrong password: fails at once, and says so, whatever was logged in with before', async () => {
    const transport = kafkaTransport({ ...secured('both'), sasl: { ...sasl, password: 'guessed' } })
    try {
      const error = await transport.admin.topics().then(
        () => undefined,
        (cause: unknown) => cause
      )
      expect(error).to.be.instanceOf(MillraceError).with.property('code', 'ERR_AUTHENTICATION')
    } finally {
      await transport.close()
    }
  })
})
