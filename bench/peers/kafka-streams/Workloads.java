import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;

/** The topology of each workload, as bench/workloads/*.ts has it for Millrace. */
final class Workloads {
  private static final Serde<String> STRING = Serdes.String();
  private static final Serde<byte[]> BYTES = Serdes.ByteArray();
  private static final Serde<Long> LONG = Serdes.Long();

  static Topology of(Properties job) {
    StreamsBuilder builder = new StreamsBuilder();
    String[] inputs = job.getProperty("inputs").split(",");
    String output = job.getProperty("output");
    switch (job.getProperty("workload")) {
      case "read" -> builder.stream(inputs[0], Consumed.with(STRING, BYTES))
          .filter((key, value) -> key.equals("7"))
          .to(output, Produced.with(STRING, BYTES));
      case "pass" -> builder.stream(inputs[0], Consumed.with(BYTES, BYTES)).to(output, Produced.with(BYTES, BYTES));
      case "json" -> builder.stream(inputs[0], Consumed.with(BYTES, ORDER))
          .mapValues(order -> {
            order.amount = order.amount * 2;
            order.checked = true;
            return order;
          })
          .to(output, Produced.with(BYTES, ORDER));
      case "count", "count-large" -> builder.stream(inputs[0], Consumed.with(STRING, BYTES))
          .groupByKey()
          .count(Materialized.as("counts"))
          .toStream()
          .to(output, Produced.with(STRING, LONG));
      case "window" -> builder.stream(inputs[0], Consumed.with(STRING, BYTES))
          .groupByKey()
          .windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofMinutes(1)))
          .count(Materialized.as("counts"))
          .toStream((key, count) -> key.key() + "@" + key.window().start())
          .to(output, Produced.with(STRING, LONG));
      case "session" -> builder.stream(inputs[0], Consumed.with(STRING, BYTES))
          .groupByKey()
          .windowedBy(SessionWindows.ofInactivityGapWithNoGrace(Duration.ofMinutes(1)))
          .count(Materialized.as("counts"))
          .toStream((key, count) -> key.key() + "@" + key.window().start() + "-" + key.window().end())
          .to(output, Produced.with(STRING, LONG));
      case "stream-table" -> {
        KTable<String, String> table = builder.table(inputs[1], Consumed.with(STRING, STRING), Materialized.as("table"));
        builder.stream(inputs[0], Consumed.with(STRING, STRING))
            .join(table, (left, right) -> left + "|" + right)
            .to(output, Produced.with(STRING, STRING));
      }
      case "stream-stream" -> {
        KStream<String, String> other = builder.stream(inputs[1], Consumed.with(STRING, STRING));
        builder.stream(inputs[0], Consumed.with(STRING, STRING))
            .join(
                other,
                (left, right) -> left + "|" + right,
                JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofMinutes(1)),
                StreamJoined.with(STRING, STRING, STRING).withStoreName("join").withName("join"))
            .to(output, Produced.with(STRING, STRING));
      }
      default -> throw new IllegalArgumentException("There is no workload " + job.getProperty("workload"));
    }
    return builder.build();
  }

  @JsonPropertyOrder({"id", "amount", "checked", "text"})
  static final class Order {
    public long id;
    public int amount;
    public boolean checked;
    public String text;
  }

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final ObjectReader READER = MAPPER.readerFor(Order.class);
  private static final ObjectWriter WRITER = MAPPER.writerFor(Order.class);

  private static final Serializer<Order> WRITE = (topic, order) -> {
    try {
      return order == null ? null : WRITER.writeValueAsBytes(order);
    } catch (Exception error) {
      throw new IllegalStateException(error);
    }
  };
  private static final Deserializer<Order> READ = (topic, bytes) -> {
    try {
      return bytes == null ? null : READER.readValue(bytes);
    } catch (Exception error) {
      throw new IllegalStateException(error);
    }
  };
  private static final Serde<Order> ORDER = Serdes.serdeFrom(WRITE, READ);
}
