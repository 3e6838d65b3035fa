/* The other side of interop.spec.ts: Kafka's own clients, serdes and Streams. A question a line on stdin, its answer a line on stdout. */

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.LongSerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.kstream.internals.WindowedSerializer;
import org.apache.kafka.streams.kstream.internals.WindowedStreamPartitioner;
import org.apache.kafka.streams.processor.StreamPartitioner;
import org.apache.kafka.streams.processor.internals.DefaultStreamPartitioner;

@SuppressWarnings({"unchecked", "rawtypes"})
public class Interop {
  static final ObjectMapper JSON = new ObjectMapper();
  static final List<KafkaStreams> RUNNING = new ArrayList<>();

  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Object answer;
      try {
        answer = answer(JSON.readTree(line));
      } catch (Throwable e) {
        answer = Map.of("error", e.toString());
      }
      out.println(JSON.writeValueAsString(answer));
      out.flush();
    }
    for (KafkaStreams streams : RUNNING) streams.close(Duration.ofSeconds(5));
    System.exit(0);
  }

  static Object answer(JsonNode q) throws Exception {
    switch (q.get("op").asText()) {
      case "write": return write(q);
      case "read": return read(q);
      case "join": return join(q);
      case "windows": return windows(q);
      default: throw new IllegalArgumentException("unknown op " + q);
    }
  }

  /** A serde by its name here, and the key a question gives as JSON. */
  static Serde serde(String name) {
    switch (name) {
      case "string": return Serdes.String();
      case "long": return Serdes.Long();
      case "int": return Serdes.Integer();
      case "json": return Serdes.serdeFrom(
          // Not writeValueAsBytes: that writes characters beyond U+FFFF as escapes, which are other bytes than JSON.stringify gives.
          (topic, node) -> { try { return JSON.writeValueAsString(node).getBytes(StandardCharsets.UTF_8); } catch (Exception e) { throw new RuntimeException(e); } },
          (topic, bytes) -> { try { return JSON.readTree(bytes); } catch (Exception e) { throw new RuntimeException(e); } });
      default: throw new IllegalArgumentException("unknown serde " + name);
    }
  }

  static Object key(String serde, JsonNode node) {
    switch (serde) {
      case "string": return node.asText();
      case "long": return node.asLong();
      case "int": return node.asInt();
      default: return node;
    }
  }

  /** records: [[key, value, timestamp], …], with the default partitioner of the Java producer. */
  static Object write(JsonNode q) throws Exception {
    String kind = q.get("key").asText();
    Properties p = new Properties();
    p.put("bootstrap.servers", q.get("brokers").asText());
    // The topic was made a moment ago. With several requests on their way the first can meet a broker that does not lead it yet, and the second
    // one that does: it takes what comes first whatever its sequence, and refuses the first batch, sequence 0, until the producer gives up.
    p.put("max.in.flight.requests.per.connection", 1);
    int count = 0;
    try (KafkaProducer<Object, String> producer = new KafkaProducer<>(p, serde(kind).serializer(), new StringSerializer())) {
      for (JsonNode record : q.get("records")) {
        Object key = key(kind, record.get(0));
        producer.send(new ProducerRecord<>(q.get("topic").asText(), null, record.get(2).asLong(), key, record.get(1).asText()));
        count++;
      }
      producer.flush();
    }
    return Map.of("written", count);
  }

  /**
   * All committed records of a topic, each with the partition that Streams would have chosen and whether Java's serializer gives the same
   * bytes. windows: absent, 'session', or the size of windows of time in ms.
   */
  static Object read(JsonNode q) throws Exception {
    String topic = q.get("topic").asText();
    Serde inner = serde(q.get("key").asText());
    JsonNode windows = q.get("windows");
    Serde keys = windows == null ? inner
        : windows.isTextual() ? new WindowedSerdes.SessionWindowedSerde(inner)
        : q.has("changelog") ? new WindowedSerdes.TimeWindowedSerde(inner, windows.asLong()).forChangelog(true)
        : new WindowedSerdes.TimeWindowedSerde(inner, windows.asLong());
    StreamPartitioner partitioner = windows == null
        ? new DefaultStreamPartitioner(keys.serializer())
        : new WindowedStreamPartitioner((WindowedSerializer) keys.serializer());
    Serde values = serde(q.get("value").asText());
    Properties p = new Properties();
    p.put("bootstrap.servers", q.get("brokers").asText());
    p.put("isolation.level", "read_committed");
    List<Map<String, Object>> seen = new ArrayList<>();
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> all = consumer.partitionsFor(topic).stream().map(i -> new TopicPartition(topic, i.partition())).toList();
      consumer.assign(all);
      consumer.seekToBeginning(all);
      Map<TopicPartition, Long> ends = consumer.endOffsets(all);
      while (all.stream().anyMatch(tp -> consumer.position(tp) < ends.get(tp))) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
          Object key = keys.deserializer().deserialize(topic, record.key());
          Map<String, Object> row = new LinkedHashMap<>();
          row.put("partition", record.partition());
          row.put("timestamp", record.timestamp());
          row.put("value", record.value() == null ? null : values.deserializer().deserialize(topic, record.value()));
          if (key instanceof Windowed) {
            Windowed windowed = (Windowed) key;
            row.put("key", windowed.key());
            row.put("start", windowed.window().start());
            row.put("end", windowed.window().end());
          } else row.put("key", key);
          Optional<Set<Integer>> chosen = partitioner.partitions(topic, key, null, all.size());
          row.put("expected", chosen.get().iterator().next());
          row.put("sameBytes", Arrays.equals(keys.serializer().serialize(topic, key), record.key()));
          seen.add(row);
        }
      }
    }
    return Map.of("records", seen);
  }

  /** For each of `pairs` ({ key, left, right }) a join of the two topics, all results as "<key serde>:<left>/<right>" in `out`. */
  static Object join(JsonNode q) throws Exception {
    StreamsBuilder builder = new StreamsBuilder();
    for (JsonNode pair : q.get("pairs")) {
      String kind = pair.get("key").asText();
      Consumed consumed = Consumed.with(serde(kind), Serdes.String());
      KStream left = builder.stream(pair.get("left").asText(), consumed);
      KStream right = builder.stream(pair.get("right").asText(), consumed);
      ValueJoiner<String, String, String> joiner = (l, r) -> kind + ":" + l + "/" + r;
      left.join(right, joiner, JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofDays(1)), StreamJoined.with(serde(kind), Serdes.String(), Serdes.String()))
          .selectKey((k, v) -> "")
          .to(q.get("out").asText(), Produced.with(Serdes.String(), Serdes.String()));
    }
    return start(builder, q);
  }

  /** Counts `in` by windows of `size` and sessions of `gap`, into topics `time` and `session`. */
  static Object windows(JsonNode q) throws Exception {
    StreamsBuilder builder = new StreamsBuilder();
    Serde<String> string = Serdes.String();
    KGroupedStream<String, String> grouped = builder.stream(q.get("in").asText(), Consumed.with(string, string)).groupByKey();
    long size = q.get("size").asLong();
    grouped.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(size), Duration.ofDays(1))).count(Materialized.as("per-minute")).toStream()
        .to(q.get("time").asText(), Produced.with(new WindowedSerdes.TimeWindowedSerde<>(string, size), Serdes.Long()));
    grouped.windowedBy(SessionWindows.ofInactivityGapAndGrace(Duration.ofMillis(q.get("gap").asLong()), Duration.ofDays(1))).count(Materialized.as("in-a-row")).toStream()
        .to(q.get("session").asText(), Produced.with(new WindowedSerdes.SessionWindowedSerde<>(string), Serdes.Long()));
    return start(builder, q);
  }

  static Object start(StreamsBuilder builder, JsonNode q) throws Exception {
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, q.get("id").asText());
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, q.get("brokers").asText());
    p.put(StreamsConfig.STATE_DIR_CONFIG, q.get("stateDir").asText());
    p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    p.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    p.put("windowed.inner.class.serde", Serdes.StringSerde.class.getName());
    CountDownLatch ready = new CountDownLatch(1);
    KafkaStreams streams = new KafkaStreams(builder.build(), p);
    streams.setStateListener((now, before) -> { if (now == KafkaStreams.State.RUNNING || now == KafkaStreams.State.ERROR) ready.countDown(); });
    RUNNING.add(streams);
    streams.start();
    ready.await(60, TimeUnit.SECONDS);
    return Map.of("state", streams.state().toString());
  }
}
