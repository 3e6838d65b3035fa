/** The test kit: topologies under virtual time without a broker, a log in process, a real Kafka, waiting without sleeping. */
export {
  type EmbeddedBroker,
  type EmbeddedBrokerOptions,
  embeddedBroker,
  embeddedTransport
} from '../embedded/index.ts'
export { type Clock, seededRandom, VirtualClock } from '../time.ts'
export { type DriveOptions, Driver, drive, type Received, type Sent } from './drive.ts'
export { type KafkaHandle, type KafkaNode, type KafkaOptions, startKafka } from './kafka.ts'
export { type UntilOptions, until } from './until.ts'
