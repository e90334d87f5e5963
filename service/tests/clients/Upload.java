// Sends a file as many times as it is told, by Java's own client as it comes: it offers h2c with every request.
//   java Upload.java URL BYTES TIMES [TOKEN]      prints the status of each answer on a line
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.List;

public class Upload {
    public static void main(String[] arguments) throws Exception {
        byte[] head = "--b\r\nContent-Disposition: form-data; name=\"body\"; filename=\"f\"\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
        byte[] tail = "\r\n--b--\r\n".getBytes(StandardCharsets.US_ASCII);
        byte[] content = new byte[Integer.parseInt(arguments[1])];
        for (int number = 0; number < Integer.parseInt(arguments[2]); number++) {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(arguments[0]))
                .header("Content-Type", "multipart/form-data; boundary=b")
                .POST(BodyPublishers.ofByteArrays(List.of(head, content, tail)));
            if (arguments.length > 3) {
                request.header("Authorization", "Bearer " + arguments[3]);
            }
            // A client of its own each time, since the offer is made with the first request of a connection.
            System.out.println(HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString()).statusCode());
        }
    }
}
