// Sends a file as many times as it is told, by Go's own client.
//
//	go run upload.go URL BYTES TIMES [TOKEN]      prints the status of each answer on a line
package main

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
)

func main() {
	size, _ := strconv.Atoi(os.Args[2])
	times, _ := strconv.Atoi(os.Args[3])
	for range times {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, _ := form.CreateFormFile("body", "f")
		part.Write(make([]byte, size))
		form.Close()
		request, err := http.NewRequest("POST", os.Args[1], &body)
		if err != nil {
			panic(err)
		}
		request.Header.Set("Content-Type", form.FormDataContentType())
		if len(os.Args) > 4 {
			request.Header.Set("Authorization", "Bearer "+os.Args[4])
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			fmt.Println(err)
			continue
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		fmt.Println(answer.StatusCode)
	}
}
